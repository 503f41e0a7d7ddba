"""What tutorials teach: a reading in, a prediction out, published and waited for, nothing kept.

python naive.py MODEL HOST PORT TOPIC < readings.jsonl
"""

import json
import sys
import time

import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main(model: str, host: str, port: int, topic: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect(host, port)
    client.loop_start()
    for line in sys.stdin:
        reading = np.array([list(json.loads(line).values())], np.float32)
        answer = session.run(None, {"input": reading})
        message = {"ts": time.time_ns() // 1_000_000, "value": answer[0].ravel().tolist()[0]}
        client.publish(topic, json.dumps(message), qos=1).wait_for_publish()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

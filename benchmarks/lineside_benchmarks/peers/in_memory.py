"""What someone writes who knows MQTT: publish and go on, let the client keep what is not acknowledged, in memory.

python in_memory.py MODEL HOST PORT TOPIC < readings.jsonl
"""

import json
import sys
import threading
import time

import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def main(model: str, host: str, port: int, topic: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=topic.replace("/", "-"), clean_session=False)
    client.max_inflight_messages_set(64)
    client.reconnect_delay_set(1, 30)
    client.connect_async(host, port, keepalive=15)
    client.loop_start()
    last = None
    for line in sys.stdin:
        reading = np.array([list(json.loads(line).values())], np.float32)
        answer = session.run(None, {"input": reading})
        message = {"ts": time.time_ns() // 1_000_000, "value": answer[0].ravel().tolist()[0]}
        last = client.publish(topic, json.dumps(message), qos=1)
    while last is not None and not last.is_published():
        threading.Event().wait(0.05)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

"""What someone writes who needs none of Lineside's promises: a line in, a prediction out, nothing kept.

It is also the floor of memory and start: a Python process that imports numpy, onnxruntime and paho, loads a
model, connects and publishes cannot be smaller or sooner. Imports nothing else that it does not need.

    python handwritten.py MODEL PORT TOPIC < readings.jsonl
"""

import json
import sys
import threading
import time

import numpy as np
import onnxruntime
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

IN_FLIGHT = 64


def main(model: str, port: int, topic: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    room = threading.Semaphore(IN_FLIGHT)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_publish = lambda *_: room.release()
    client.max_inflight_messages_set(IN_FLIGHT)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for line in sys.stdin:
        reading = np.array([list(json.loads(line).values())], np.float32)
        label, probabilities = session.run(None, {"input": reading})
        message = {
            "ts": time.time_ns() // 1_000_000,
            "label": label[0],
            "probabilities": probabilities[0].tolist(),
        }
        room.acquire()
        client.publish(topic, json.dumps(message), qos=1)
    for _ in range(IN_FLIGHT):
        room.acquire()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])

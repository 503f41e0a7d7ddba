"""How fast a client publishes: N messages of some 200 bytes with QoS 1, as many in flight as WINDOW says.

    python publish.py CLIENT PORT TOPIC COUNT

Ends when the broker has acknowledged them all. gmqtt and aiomqtt are imported when they are asked for.
"""

import asyncio
import sys
import threading
from collections.abc import Iterator

WINDOW = 64


def payloads(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield (
            f'{{"ts":{1_700_000_000_000 + number},"device":"pump-1","boot":"1f2e3d4c-7","seq":{number},'
            f'"model":"forest","model_version":"1.0.0","label":"normal","probability":0.{number % 97:02d}}}'
        ).encode()


def paho_waiting(port: int, topic: str, count: int) -> None:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    for payload in payloads(count):
        client.publish(topic, payload, qos=1).wait_for_publish()
    client.disconnect()
    client.loop_stop()


def paho(port: int, topic: str, count: int) -> None:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    room = threading.Semaphore(WINDOW)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(WINDOW)
    client.on_publish = lambda *_: room.release()
    client.connect("127.0.0.1", port)
    client.loop_start()
    for payload in payloads(count):
        room.acquire()
        client.publish(topic, payload, qos=1)
    for _ in range(WINDOW):
        room.acquire()
    client.disconnect()
    client.loop_stop()


async def aiomqtt(port: int, topic: str, count: int) -> None:
    from aiomqtt import Client  # type: ignore[import-not-found]

    async with Client("127.0.0.1", port, max_inflight_messages=WINDOW) as client:
        room = asyncio.Semaphore(WINDOW)

        async def one(payload: bytes) -> None:
            async with room:
                await client.publish(topic, payload, qos=1)

        async with asyncio.TaskGroup() as group:
            for payload in payloads(count):
                group.create_task(one(payload))


async def gmqtt(port: int, topic: str, count: int) -> None:
    from gmqtt import Client  # type: ignore[import-not-found]
    from gmqtt.mqtt.constants import MQTTv311  # type: ignore[import-not-found]

    client = Client("lineside-bench")
    await client.connect("127.0.0.1", port, version=MQTTv311)
    for number, payload in enumerate(payloads(count)):
        client.publish(topic, payload, qos=1)
        if number % WINDOW == 0:
            await asyncio.sleep(0)
    while not client._persistent_storage.is_empty:  # it tells of acknowledgements in no other way
        await asyncio.sleep(0.001)
    await client.disconnect()


if __name__ == "__main__":
    arguments = (int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    if sys.argv[1] in ("aiomqtt", "gmqtt"):
        asyncio.run({"aiomqtt": aiomqtt, "gmqtt": gmqtt}[sys.argv[1]](*arguments))
    else:
        {"paho": paho, "paho, waiting": paho_waiting}[sys.argv[1]](*arguments)

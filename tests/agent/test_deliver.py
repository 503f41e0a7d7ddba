from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_broker import FakeBroker, ManualClock, Published

from lineside_agent.counters import Counters
from lineside_agent.deliver import Address, Deliver
from lineside_agent.encode import Code, Identity
from lineside_agent.heartbeat import Heartbeats
from lineside_agent.outbox import Limits, Outbox
from lineside_agent.presence import Presence
from lineside_agent.reconnect import Reconnect
from lineside_agent.settings import BrokerSettings, DeliverySettings
from lineside_contract.errors import BrokerRefused, NotDelivered
from lineside_contract.messages import Ack, CollectorStatus, Status, encode

ACK = "lineside/v1/site/dev/ack"
STATUS = "lineside/v1/site/dev/status"
COLLECTOR = "lineside/v1/site/collectors/c/status"


class Rig:
    """A deliver loop on a real outbox, with a broker and a clock that the test controls."""

    def __init__(self, folder: Path, **delivery: Any) -> None:
        self.folder = folder
        self.settings = DeliverySettings(**delivery)
        self.clock = ManualClock()
        self.broker = FakeBroker(self.clock)
        self.start()

    def start(self) -> None:
        self.outbox = Outbox(self.folder, Limits(), self.clock.monotonic)
        identity = Identity("dev", self.outbox.boot, "pump", "1.0.0")
        self.deliver = Deliver(
            Address("site", "dev"),
            self.broker,
            self.outbox,
            Presence("site", identity, self.settings.promise, self.outbox.previous),
            Heartbeats(identity, Counters("main"), self.folder, 10, self.clock),
            (self.settings, Reconnect(BrokerSettings(reconnect_min_s=1, reconnect_max_s=16))),
            self.clock,
        )

    def put(self, count: int = 1) -> list[int]:
        first = self.outbox.next_seq
        messages = [(Code.PREDICTION, 1, b'{"seq":%d}' % (first + n)) for n in range(count)]
        self.deliver.offer(self.outbox.put(messages))
        return list(range(first, first + count))

    def run(self, times: int = 6) -> None:
        for _ in range(times):
            self.deliver.deliver_once()

    def run_for(self, seconds: float) -> None:
        until = self.clock.time + seconds
        while self.clock.time < until:
            self.deliver.deliver_once(until - self.clock.time)

    def collector(self, state: str, run: str = "r1", *, retained: bool = False) -> None:
        status = CollectorStatus(ts=0, collector="c", run=run, state=state)  # type: ignore[arg-type]
        self.broker.receive(COLLECTOR, encode(status), retained=retained)

    def commit(self, seqs: list[int]) -> None:
        committed = {self.outbox.boot: [(seq, seq) for seq in seqs]}
        self.broker.receive(ACK, encode(Ack(ts=0, collector="c", committed=committed)))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def seqs(messages: list[Published]) -> list[int]:
    return [json.loads(message.payload)["seq"] for message in messages]


def replayed(messages: list[Published]) -> list[bool]:
    return [json.loads(message.payload).get("replayed", False) for message in messages]


def test_live_messages_go_out_once_at_qos_1_and_in_order(rig: Rig) -> None:
    rig.run()
    put = rig.put(5)
    rig.run()
    sent = rig.broker.take("prediction")
    assert seqs(sent) == put
    assert replayed(sent) == [False] * 5
    assert {(message.qos, message.retain) for message in sent} == {(1, False)}


def test_promise_broker_removes_on_the_brokers_word(tmp_path: Path) -> None:
    rig = Rig(tmp_path, promise="broker")
    rig.run()
    rig.put(5)
    rig.run()
    assert rig.outbox.waiting() == 0
    assert ACK not in rig.broker.subscriptions


def test_promise_collector_keeps_until_the_collector_says_committed(rig: Rig) -> None:
    rig.run()
    put = rig.put(5)
    rig.run()
    assert rig.outbox.waiting() == 5
    rig.commit([put[0], put[1], put[4]])
    rig.run(1)
    assert rig.outbox.waiting() == 2


def test_an_ack_for_what_never_was_is_ignored(rig: Rig) -> None:
    rig.run()
    rig.commit([50])
    rig.run(1)
    rig.put(100)
    assert rig.outbox.waiting() == 100


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"\xff", b'{"ts":0,"collector":"c","committed":{"x":[[5,1]]}}']
)
def test_nonsense_from_others_is_ignored(rig: Rig, payload: bytes) -> None:
    rig.run()
    for topic in (ACK, STATUS, COLLECTOR):
        rig.broker.receive(topic, payload)
    rig.put(1)
    rig.run()
    assert len(rig.broker.take("prediction")) == 1


def test_what_was_put_while_offline_is_sent_after_the_reconnect_flagged_and_paced(tmp_path: Path) -> None:
    rig = Rig(tmp_path, promise="broker", replay_per_s=100)
    rig.broker.refusal = NotDelivered("Not there.")
    rig.run(3)
    put = rig.put(300)
    rig.run(3)
    assert rig.broker.take("prediction") == []
    rig.broker.refusal = None
    began = rig.clock.time
    while rig.outbox.waiting():
        rig.deliver.deliver_once()
    sent = rig.broker.take("prediction")
    assert seqs(sent) == put
    assert all(replayed(sent))
    assert 2.5 < rig.clock.time - began < 20  # 300 at 100 a second, after at most one pause to reconnect


def test_live_data_never_waits_behind_old(tmp_path: Path) -> None:
    rig = Rig(tmp_path, promise="broker", replay_per_s=100)
    rig.broker.refusal = NotDelivered("Not there.")
    rig.run(3)
    rig.put(500)
    rig.broker.refusal = None
    while not rig.deliver.connected:
        rig.deliver.deliver_once()
    live = rig.put(1)
    rig.deliver.deliver_once()
    sent = rig.broker.take("prediction")
    assert live[0] in seqs(sent)
    assert len(sent) < 100


def test_a_lost_connection_sends_again_only_what_was_not_acknowledged(rig: Rig) -> None:
    rig.run()
    rig.collector("online")
    rig.run(1)
    rig.run_for(2)
    put = rig.put(4)
    rig.run()
    rig.commit(put[:2])
    rig.run(1)
    rig.broker.take("prediction")
    rig.broker.lose()
    rig.run(3)
    rig.collector("online", retained=True)
    rig.run_for(7)
    sent = rig.broker.take("prediction")
    assert seqs(sent) == put[2:]
    assert all(replayed(sent))


def test_an_absent_collector_is_not_flooded(rig: Rig) -> None:
    """What the broker took once is not sent again while no collector is online, however often the link fails."""
    rig.run()
    put = rig.put(10)
    rig.run()
    assert seqs(rig.broker.take("prediction")) == put
    for _ in range(5):
        rig.broker.lose()
        rig.run_for(5)
    rig.run_for(1000)
    assert rig.broker.take("prediction") == []
    assert rig.outbox.waiting() == 10


def test_a_collector_that_comes_back_gets_everything_once_more(rig: Rig) -> None:
    rig.run()
    put = rig.put(10)
    rig.run()
    rig.broker.take("prediction")
    rig.collector("offline")
    rig.run_for(5)
    rig.collector("online", run="r2")
    rig.run_for(5)
    assert seqs(rig.broker.take("prediction")) == put
    rig.collector("online", run="r2")  # the same word once more changes nothing
    rig.run_for(5)
    assert rig.broker.take("prediction") == []


def test_without_an_ack_it_is_sent_again_after_a_long_time_and_ever_more_seldom(rig: Rig) -> None:
    rig.run()
    rig.collector("online")
    rig.run_for(3)
    put = rig.put(3)
    rig.run()
    rig.broker.take("prediction")
    rig.run_for(50)
    assert rig.broker.take("prediction") == []
    rig.run_for(50)
    assert seqs(rig.broker.take("prediction")) == put
    rig.run_for(1000)
    assert 2 * 3 <= len(rig.broker.take("prediction")) <= 6 * 3


def test_what_an_earlier_boot_left_is_delivered_under_its_own_id(rig: Rig) -> None:
    rig.put(3)
    boot = rig.outbox.boot
    rig.start()
    rig.run_for(3)
    sent = rig.broker.take("prediction")
    assert seqs(sent) == [0, 1, 2]
    rig.broker.receive(ACK, encode(Ack(ts=0, collector="c", committed={boot: [(0, 2)]})))
    rig.run(1)
    assert rig.outbox.waiting() == 0


def test_more_than_the_queue_holds_goes_out_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path, promise="broker")
    rig.run()
    put = rig.put(5000) + rig.put(10)
    rig.run(2000)
    assert sorted(seqs(rig.broker.take("prediction"))) == put
    assert rig.outbox.waiting() == 0


def test_the_number_in_flight_is_bounded(tmp_path: Path) -> None:
    rig = Rig(tmp_path, in_flight=8)
    rig.run()
    rig.broker.hold = True
    rig.put(50)
    rig.run()
    assert len(rig.broker.published) <= 8 + 1 + 1  # and the birth, and a heartbeat
    rig.broker.hold = False
    rig.run(20)
    assert len(rig.broker.take("prediction")) == 50


def test_birth_and_will_carry_the_same_boot_and_connection(rig: Rig) -> None:
    rig.run(2)
    birth, will = rig.broker.take("status")[0], rig.broker.wills[-1]
    born, lost = json.loads(birth.payload), json.loads(will.payload)
    assert birth.retain
    assert (born["state"], lost["state"]) == ("online", "offline")
    assert (born["boot"], born["connection"]) == (lost["boot"], lost["connection"])
    rig.broker.lose()
    rig.run_for(3)
    again = json.loads(rig.broker.take("status")[0].payload)
    assert again["connection"] > born["connection"]


def test_the_birth_says_where_the_boot_before_ended(rig: Rig) -> None:
    rig.put(7)
    boot = rig.outbox.boot
    rig.start()
    rig.run(2)
    assert json.loads(rig.broker.take("status")[0].payload)["previous"] == {"boot": boot, "end": 7}


def test_an_agent_that_is_declared_lost_while_connected_says_online_again(rig: Rig) -> None:
    rig.run(2)
    rig.broker.take("status")
    old = Status(ts=0, device="dev", boot=rig.outbox.boot, connection=0, state="offline")
    rig.broker.receive(STATUS, encode(old), retained=True)  # what stood there before we came
    rig.run(1)
    assert rig.broker.take("status") == []
    rig.broker.receive(STATUS, encode(old))
    rig.run(1)
    assert json.loads(rig.broker.take("status")[0].payload)["state"] == "online"


def test_a_connection_lost_right_after_a_late_will_is_only_a_lost_connection(rig: Rig) -> None:
    rig.run()
    put = rig.put(2)
    rig.run(1)
    late = Status(ts=0, device="dev", boot=rig.outbox.boot, connection=0, state="offline")
    rig.broker.receive(STATUS, encode(late))
    rig.broker.lose()
    rig.run_for(10)
    assert rig.deliver.connected
    assert rig.outbox.waiting() == len(put)
    assert json.loads(rig.broker.take("status")[-1].payload)["state"] == "online"


def test_a_clean_stop_is_told_and_says_how_many_there_were(rig: Rig) -> None:
    rig.run()
    rig.put(3)
    rig.deliver.stop(2.0)
    stopped = json.loads(rig.broker.take("status")[-1].payload)
    assert (stopped["state"], stopped["end"]) == ("stopped", 3)
    assert len(rig.broker.take("prediction")) == 3
    assert rig.broker.said_goodbye


def test_a_stop_waits_a_moment_for_the_collectors_word_and_tells_what_is_left(rig: Rig) -> None:
    rig.run()
    rig.collector("online")
    rig.run(2)
    put = rig.put(3)
    rig.run(1)
    rig.commit(put)
    began = rig.clock.time
    rig.deliver.stop(2.0)
    assert rig.clock.time - began < 1
    assert rig.outbox.waiting() == 0
    last = json.loads(rig.broker.take("heartbeat")[-1].payload)
    assert last.get("outbox_messages", 0) == 0


def test_stopping_does_not_wait_for_a_broker_that_is_silent(rig: Rig) -> None:
    rig.run()
    rig.broker.hold = True
    rig.put(3)
    began = rig.clock.time
    rig.deliver.stop(2.0)
    assert rig.clock.time - began < 3


def test_reconnects_back_off_with_jitter_up_to_the_longest_pause(rig: Rig) -> None:
    rig.broker.refusal = NotDelivered("Not there.")
    rig.run_for(300)
    pauses = [b - a for a, b in zip(rig.broker.attempts, rig.broker.attempts[1:], strict=False)]
    assert 0.5 <= pauses[0] <= 1.01
    assert all(8 <= pause <= 16.01 for pause in pauses[6:])
    assert len(set(pauses)) == len(pauses)


def test_a_refusal_is_said_once_and_asked_again_seldom(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.broker.refusal = BrokerRefused("The broker does not accept the password.", hint="Check it.")
    rig.run_for(100)
    assert len(rig.broker.attempts) <= 14
    said = [record for record in caplog.records if "does not accept the password" in record.message]
    assert len(said) == 1


def test_heartbeats_go_on_at_their_interval_and_say_what_waits(rig: Rig) -> None:
    rig.run()
    rig.put(4)
    rig.run_for(35)
    beats = [json.loads(message.payload) for message in rig.broker.take("heartbeat")]
    assert [beat["seq"] for beat in beats] == [0, 1, 2, 3]
    assert beats[-1]["outbox_messages"] == 4
    assert beats[-1]["next_seq"] == 4
    assert 20 <= beats[-1]["outbox_oldest_age_s"] <= 35


def test_what_was_put_is_committed_in_time_though_nothing_more_comes(rig: Rig) -> None:
    rig.run()
    rig.put(1)
    assert rig.outbox.commit_at is not None
    rig.run_for(0.5)
    assert rig.outbox.commit_at is None


def test_connections_that_never_last_are_told_with_their_likely_cause_and_back_off(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """Two agents of one name throw each other off: that must not become a storm."""
    began = rig.clock.time
    while rig.clock.time < began + 100:
        rig.deliver.deliver_once()
        if rig.deliver.connected:
            rig.broker.lose()
    assert len(rig.broker.attempts) < 20
    assert "does another agent use this device's name?" in caplog.text


def test_after_a_good_connection_the_next_one_comes_soon(rig: Rig) -> None:
    rig.broker.refusal = NotDelivered("Not there.")
    rig.run_for(60)
    rig.broker.refusal = None
    rig.run_for(60)
    assert rig.deliver.connected
    rig.broker.lose()
    rig.run_for(1.5)
    assert rig.deliver.connected


def test_rogue_collectors_do_not_fill_the_memory(rig: Rig) -> None:
    rig.run()
    for number in range(500):
        status = CollectorStatus(ts=0, collector=f"c{number}", run="r", state="online")
        rig.broker.receive(COLLECTOR, encode(status))
    rig.run()
    assert len(rig.deliver._collectors) <= 100


def test_what_others_send_wrong_does_not_fill_the_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.run()
    for _ in range(50):
        rig.broker.receive(ACK, b"rubbish")
        rig.broker.receive(COLLECTOR, b"{}")
    rig.run()
    assert len(caplog.records) == 1
    assert ACK in caplog.text
    rig.run_for(61)
    rig.broker.receive(ACK, b"again")
    rig.run()
    assert len(caplog.records) == 2
    assert len(rig.put()) == 1

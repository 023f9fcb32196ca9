"""What a process decides by itself: refusals it may repeat, its own log, its share, its breaker, what it owes."""

from __future__ import annotations

import ssl
from random import Random

import pytest

from gateway.limit.address import RedisAddress
from gateway.limit.denials import KEEP_S, Denials
from gateway.limit.local import LocalLog
from gateway.limit.outage import Breaker, Owed
from gateway.limit.verdict import MINUTE_MS, Limits, Verdict
from tests.limit_model import Model

CLOCK = 1_795_000_000_000
USER = Limits()


def refused(minute_wait: int, hour_wait: int, limits: Limits = USER) -> Verdict:
    return Verdict(False, limits, CLOCK, 0, minute_wait, 900, hour_wait)


class TestDenials:
    def test_a_refusal_is_repeated_with_waits_that_shrink_until_a_call_is_free(self) -> None:
        denials = Denials()
        denials.note("q", refused(3000, 9000), asked=10.0, heard=10.001)
        later = denials.find("q", USER, 12.501)
        assert later == Verdict(False, USER, CLOCK + 2500, 0, 500, 900, 6500, "cache")
        assert denials.find("q", USER, 13.0) is None

    def test_redis_is_asked_again_when_the_other_window_tells_more_than_it_did(self) -> None:
        denials = Denials()
        denials.note("q", refused(4000, 1000), asked=10.0, heard=10.0)
        assert denials.find("q", USER, 10.999) is not None
        assert denials.find("q", USER, 11.0) is None

    def test_other_limits_and_a_reset_end_it_at_once(self) -> None:
        denials = Denials()
        denials.note("q", refused(3000, 9000), asked=10.0, heard=10.0)
        assert denials.find("q", USER.times(5), 10.5) is None
        denials.note("q", refused(3000, 9000), asked=10.0, heard=10.0)
        denials.resets += 1
        assert denials.find("q", USER, 10.5) is None
        denials.note("q", refused(3000, 9000), asked=10.0, heard=10.0)
        denials.forget("q")
        assert denials.find("q", USER, 10.5) is None

    def test_none_is_believed_for_longer_than_a_lost_reset_may_go_unnoticed(self) -> None:
        denials = Denials()
        denials.note("q", refused(50_000, 90_000), asked=10.0, heard=10.0)
        assert denials.find("q", USER, 10.0 + KEEP_S - 0.001) is not None
        assert denials.find("q", USER, 10.0 + KEEP_S) is None

    def test_they_do_not_grow_without_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.limit.denials.ENTRIES_MAX", 10)
        denials = Denials()
        for number in range(100):
            denials.note(str(number), refused(3000, 9000), asked=10.0, heard=10.0)
        assert sum(denials.find(str(number), USER, 10.5) is not None for number in range(100)) <= 10


class TestLocalLog:
    def test_one_process_alone_decides_as_the_exact_model(self) -> None:
        rng, log, model, now = Random(5), LocalLog(lambda: 0.0), Model(), CLOCK
        limits = Limits(20, 300)
        for _ in range(3000):
            now += rng.choice([0, 1, 500, 3000, 3000, 12_500])
            told = log.decide("q", limits, now, 1)
            expected = model.decide(now, limits)
            assert (int(told.admitted), told.clock_ms, told.minute_left, told.hour_left) == (
                expected[0],
                expected[1],
                expected[2],
                expected[4],
            )
            assert (told.minute_wait_ms, told.hour_wait_ms) == (expected[3], expected[5])

    @pytest.mark.parametrize("processes", [1, 2, 4, 7])
    def test_all_processes_together_keep_to_the_limit_in_every_window(self, processes: int) -> None:
        rng, now, stamps = Random(processes), CLOCK, []
        logs = [LocalLog(lambda: 0.0) for _ in range(processes)]
        for _ in range(4000):
            now += rng.choice([0, 10, 100])
            if rng.choice(logs).decide("q", USER, now, processes).admitted:
                stamps.append(now)
        most = max(sum(first <= other < first + MINUTE_MS for other in stamps) for first in stamps)
        assert USER.minute // 2 < most <= USER.minute

    def test_what_others_used_counts_until_it_must_have_left(self) -> None:
        log = LocalLog(lambda: 0.0)
        log.trail("q").note(Verdict(True, USER, CLOCK, 10, 1, 940, 1))
        told = [log.decide("q", USER, CLOCK + 1 + n, 1) for n in range(12)]
        assert [one.admitted for one in told] == [True] * 10 + [False] * 2
        assert told[0].minute_left == 9
        assert told[-1].minute_wait_ms == MINUTE_MS - 12
        assert log.decide("q", USER, CLOCK + MINUTE_MS, 1).admitted

    def test_a_clock_a_little_ahead_does_not_make_strangers_of_own_calls(self) -> None:
        log = LocalLog(lambda: 0.0)
        assert log.decide("q", USER, CLOCK + 40, 1).admitted
        for n in range(30):
            log.trail("q").note(Verdict(True, USER, CLOCK + n, 59 - n, 1, 999 - n, 1))
        assert sum(log.decide("q", USER, CLOCK + 50, 1).admitted for _ in range(40)) == 29

    def test_what_was_free_is_shared_among_the_processes(self) -> None:
        log = LocalLog(lambda: 0.0)
        log.trail("q").note(Verdict(True, USER, CLOCK, 10, 1, 940, 1))
        assert sum(log.decide("q", USER, CLOCK + 1, 4).admitted for _ in range(20)) == 10 // 4

    def test_a_lower_role_counts_what_was_used_under_the_higher_one(self) -> None:
        log = LocalLog(lambda: 0.0)
        log.trail("q").note(Verdict(True, USER.times(5), CLOCK, 240, 1, 4940, 1))
        assert not log.decide("q", USER, CLOCK + 1, 1).admitted

    def test_a_clock_that_ran_back_admits_no_more(self) -> None:
        log = LocalLog(lambda: 0.0)
        told = [log.decide("q", Limits(5, 10), CLOCK - n * 1000, 1).admitted for n in range(9)]
        assert sum(told) == 5

    def test_quotas_that_are_not_seen_for_hours_are_forgotten(self) -> None:
        at = 0.0
        log = LocalLog(lambda: at)
        kept = log.trail("kept")
        for at in (4000.0, 8000.0, 12_000.0):
            log.trail(f"other at {at}")
            assert log.trail("kept") is kept
        log.trail("idle").add(CLOCK, 10)
        for at in (16_000.0, 20_000.0):
            log.trail(f"other at {at}")
        assert not log.trail("idle").stamps


class TestOutage:
    def test_the_breaker_opens_after_five_failures_within_a_second(self) -> None:
        breaker = Breaker()
        assert [breaker.failed(at) for at in (0.0, 0.3, 0.6, 0.9, 1.2, 1.25)] == [False] * 5 + [True]
        assert not breaker.failed(1.26), "it opens once"
        states = [breaker.is_open]
        breaker.close()
        assert [*states, breaker.is_open] == [True, False]
        assert not breaker.failed(1.27), "and begins to count anew"

    def test_what_is_owed_is_taken_by_quota_and_given_back_in_order(self) -> None:
        owed = Owed()
        for quota, stamp in [("a", 1), ("b", 2), ("a", 3)]:
            assert owed.add(quota, USER, stamp)
        owed.withdraw("b", 2)
        owed.withdraw("b", 2)
        assert owed.count == 2
        assert owed.take(10) == [("a", USER, [1, 3])]
        owed.add("a", USER, 5)
        owed.give_back("a", USER, [1, 3])
        assert owed.take(10) == [("a", USER, [1, 3, 5])]
        assert owed.count == 0

    def test_what_is_owed_has_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.limit.outage.STAMPS_MAX", 3)
        owed = Owed()
        assert [owed.add("a", USER, stamp) for stamp in range(4)] == [True, True, True, False]


class TestAddresses:
    def test_a_url_says_where_and_how(self) -> None:
        plain = RedisAddress.of("redis://:pass%40word@redis.example:6380/3")
        assert (plain.host, plain.port, plain.database, plain.tls) == ("redis.example", 6380, 3, None)
        assert plain.greeting() == [(b"AUTH", b"pass@word"), (b"SELECT", b"3")]
        assert "pass@word" not in repr(plain)
        unix = RedisAddress.of("unix://reader:secret@/run/redis.sock?db=2")
        assert (unix.path, unix.greeting()) == ("/run/redis.sock", [(b"AUTH", b"reader", b"secret"), (b"SELECT", b"2")])

    def test_tls_checks_the_server_unless_the_url_says_otherwise(self) -> None:
        usual = RedisAddress.of("rediss://redis.example").tls
        assert usual is not None
        assert (usual.verify_mode, usual.check_hostname) == (ssl.CERT_REQUIRED, True)
        trusting = RedisAddress.of("rediss://redis.example?ssl_cert_reqs=none").tls
        assert trusting is not None
        assert (trusting.verify_mode, trusting.check_hostname) == (ssl.CERT_NONE, False)

    def test_what_is_no_url_is_refused_without_repeating_it(self) -> None:
        with pytest.raises(ValueError, match="begins with redis://") as raised:
            RedisAddress.of("amqp://user:secret@host")
        assert "secret" not in str(raised.value)

"""The gRPC client: the classic interop cases and a few of what proxies break. Prints {case: verdict} as JSON.

Arguments: the target, a PEM file to trust or "" for h2c.
"""

import concurrent.futures
import json
import sys
import threading
import time
import traceback

import grpc

TARGET, TRUST = sys.argv[1], sys.argv[2]
SIZE = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20), ("grpc.max_metadata_size", 65536)]
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def channel():
    if not TRUST:
        return grpc.insecure_channel(TARGET, options=SIZE)
    with open(TRUST, "rb") as pem:
        return grpc.secure_channel(TARGET, grpc.ssl_channel_credentials(pem.read()), options=SIZE)


class Stub:
    def __init__(self, channel):
        self.unary = channel.unary_unary("/judges.Test/Unary")
        self.collect = channel.stream_unary("/judges.Test/Collect")
        self.spread = channel.unary_stream("/judges.Test/Spread")
        self.both = channel.stream_stream("/judges.Test/Both")
        self.no_method = channel.unary_unary("/judges.Test/Nothing")
        self.no_service = channel.unary_unary("/judges.Nothing/Unary")


def refused(call, code, details=None):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} {error.details()}"
        assert details is None or error.details() == details, error.details()
        return error
    raise AssertionError("no error")


def cancelled(stub):
    return int(stub.unary(b"cancelled", timeout=10))


def one_more_cancelled(stub, before):
    """The server hears of it: polled, and within two seconds."""
    over = time.monotonic() + 2
    while cancelled(stub) <= before:
        assert time.monotonic() < over, "the server was not told"
        time.sleep(0.02)


@case
def empty_unary(stub):
    assert stub.unary(b"", timeout=10) == b""


@case
def large_unary(stub):
    assert len(stub.unary(b"size 314159 ".ljust(271828), timeout=10)) == 314159


@case
def four_mebibytes_each_way(stub):
    message = bytes(range(256)) * (4 << 12)
    assert stub.unary(message, timeout=30) == message


@case
def client_streaming(stub):
    sizes = (27182, 8, 1828, 45904)
    assert stub.collect(iter([b"\0" * size for size in sizes]), timeout=10) == b"74922"


@case
def server_streaming(stub):
    assert [len(part) for part in stub.spread(b"31415 9 2653 58979", timeout=10)] == [31415, 9, 2653, 58979]


@case
def server_streams_16_mebibytes(stub):
    assert sum(len(part) for part in stub.spread(b"65536 " * 256, timeout=30)) == 16 << 20


@case
def ping_pong(stub):
    """Each message is sent only after the one before came back."""
    turn = threading.Semaphore(1)

    def messages():
        for size in (27182, 8, 1828, 45904):
            assert turn.acquire(timeout=10)
            yield b"x" * size
    got = []
    for part in stub.both(messages(), timeout=20):
        got.append(len(part))
        turn.release()
    assert got == [27182, 8, 1828, 45904]


@case
def empty_stream(stub):
    assert not list(stub.both(iter(()), timeout=10))


def endless(first=()):
    """Requests that do not end by themselves while the call lives."""
    yield from first
    threading.Event().wait(8)


@case
def cancel_after_begin(stub):
    before = cancelled(stub)
    call = stub.both(endless(), timeout=20)
    time.sleep(0.3)
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    one_more_cancelled(stub, before)


@case
def cancel_after_first_response(stub):
    before = cancelled(stub)
    call = stub.both(endless([b"one"]), timeout=20)
    assert next(call) == b"one"
    call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    one_more_cancelled(stub, before)


@case
def cancel_unary(stub):
    before = cancelled(stub)
    call = stub.unary.future(b"sleep", timeout=20)
    time.sleep(0.3)
    call.cancel()
    one_more_cancelled(stub, before)


@case
def timeout_on_sleeping_server(stub):
    before = cancelled(stub)
    began = time.monotonic()
    refused(lambda: stub.unary(b"sleep", timeout=0.5), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert time.monotonic() - began < 2
    one_more_cancelled(stub, before)


@case
def deadline_reaches_the_server(stub):
    assert 50 < float(stub.unary(b"deadline", timeout=60)) <= 60


@case
def status_code_and_message(stub):
    refused(lambda: stub.unary(b"status 2 test status message", timeout=10), grpc.StatusCode.UNKNOWN, "test status message")


@case
def special_status_message(stub):
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    refused(lambda: stub.unary(f"status 2 {text}".encode(), timeout=10), grpc.StatusCode.UNKNOWN, text)


@case
def every_status_code(stub):
    for code in grpc.StatusCode:
        if code != grpc.StatusCode.OK:
            refused(lambda code=code: stub.unary(b"status %d why" % code.value[0], timeout=10), code, "why")


@case
def unimplemented_method(stub):
    refused(lambda: stub.no_method(b"", timeout=10), grpc.StatusCode.UNIMPLEMENTED)


@case
def unimplemented_service(stub):
    refused(lambda: stub.no_service(b"", timeout=10), grpc.StatusCode.UNIMPLEMENTED)


@case
def custom_metadata(stub):
    metadata = [("x-echo-initial", "test_initial_metadata_value"), ("x-echo-trailing-bin", b"\xab\xab\xab\x00\xff")]
    for method in (stub.unary, stub.both):
        call = method.with_call(b"x", metadata=metadata, timeout=10)[1] if method is stub.unary else method(
            iter([b"x"]), metadata=metadata, timeout=10)
        if method is stub.both:
            assert list(call) == [b"x"]
        assert dict(call.initial_metadata())["x-echo-initial"] == "test_initial_metadata_value"
        assert dict(call.trailing_metadata())["x-echo-trailing-bin"] == b"\xab\xab\xab\x00\xff"


@case
def trailing_metadata_of_four_kibibytes(stub):
    value = bytes(range(256)) * 16
    call = stub.unary.with_call(b"x", metadata=[("x-echo-trailing-bin", value)], timeout=10)[1]
    assert dict(call.trailing_metadata())["x-echo-trailing-bin"] == value


@case
def the_server_ends_before_the_client(stub):
    call = stub.both(endless([b"one", b"enough"]), timeout=20)
    assert next(call) == b"one"
    refused(lambda: next(call), grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


@case
def compressed_both_ways(stub):
    message = b"compress me " * 5000
    assert stub.unary(message, compression=grpc.Compression.Gzip, timeout=10) == message


@case
def a_hundred_streams_at_once(stub):
    calls = [stub.unary.future(b"%d" % number * 1000, timeout=30) for number in range(100)]
    assert [call.result() for call in calls] == [b"%d" % number * 1000 for number in range(100)]


@case
def wait_on_many_streams(stub):
    def one(number):
        return [bytes(part) for part in stub.both(iter([b"%d" % number] * 20), timeout=30)] == [b"%d" % number] * 20
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert all(pool.map(one, range(60)))


verdicts = {}
for name, function in CASES.items():
    try:
        with channel() as there:
            function(Stub(there))
        verdicts[name] = "pass"
    except Exception:
        print(f"{name}: {traceback.format_exc()}", file=sys.stderr)
        verdicts[name] = "failed"
print(json.dumps(verdicts))

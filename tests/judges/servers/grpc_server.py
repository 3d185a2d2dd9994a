"""The gRPC backend: methods over plain bytes, as the interop tests need them. Argument: its port."""

import concurrent.futures
import sys
import threading
import time

import grpc

ENDED = {"cancelled": 0}
lock = threading.Lock()


def watched(context):
    """Counts calls that end because the other side gave them up."""
    done = threading.Event()

    def ended():
        if not done.is_set():
            with lock:
                ENDED["cancelled"] += 1
    if not context.add_callback(ended):
        ended()
    return done


def echo_metadata(context):
    sent = dict(context.invocation_metadata())
    if "x-echo-initial" in sent:
        context.send_initial_metadata([("x-echo-initial", sent["x-echo-initial"])])
    if "x-echo-trailing-bin" in sent:
        context.set_trailing_metadata([("x-echo-trailing-bin", sent["x-echo-trailing-bin"])])


def unary(request, context):
    """The first word says what to do: `size N`, `status N text`, `sleep`, `deadline`, `cancelled`, else an echo."""
    echo_metadata(context)
    words = request[:200].split(b" ", 2)
    if words[0] == b"size":
        return b"\0" * int(words[1])
    if words[0] == b"status":
        code = next(code for code in grpc.StatusCode if code.value[0] == int(words[1]))
        context.abort(code, words[2].decode())
    if words[0] == b"sleep":
        done = watched(context)
        over = time.monotonic() + 10
        while context.is_active() and time.monotonic() < over:
            time.sleep(0.02)
        if context.is_active():
            done.set()
        return b""
    if words[0] == b"deadline":
        return str(context.time_remaining()).encode()
    if words[0] == b"cancelled":
        return str(ENDED["cancelled"]).encode()
    return request


def collect(requests, context):
    echo_metadata(context)
    return str(sum(len(request) for request in requests)).encode()


def spread(request, context):
    echo_metadata(context)
    for size in request.split():
        yield b"\0" * int(size)


def both(requests, context):
    echo_metadata(context)
    done = watched(context)
    for request in requests:
        if request == b"enough":
            done.set()
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        yield request
    if context.is_active():  # the requests of a cancelled call may end in the same way as those of another
        done.set()


handlers = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Spread": grpc.unary_stream_rpc_method_handler(spread),
    "Both": grpc.stream_stream_rpc_method_handler(both),
}
size = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20), ("grpc.max_metadata_size", 65536)]
server = grpc.server(concurrent.futures.ThreadPoolExecutor(150), options=size)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("judges.Test", handlers),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()

// {{name}}: replaces a text in the bodies of responses. The host keeps a body until all of it is there.
// An exception ends the instance; the compiler's abort writes its message to the log first.

export * from "@gcoredev/proxy-wasm-sdk-as/assembly/proxy";
import {
  BufferTypeValues,
  Context,
  FilterDataStatusValues,
  FilterHeadersStatusValues,
  RootContext,
  get_buffer_bytes,
  set_buffer_bytes,
  registerRootContext,
} from "@gcoredev/proxy-wasm-sdk-as/assembly";
import { RESPONSE, bytes, find, joined, lines, raw, removeHeader } from "./bytes";

class Root extends RootContext {
  from: Uint8Array = bytes("Hello");
  to: Uint8Array = bytes("Good day");

  onConfigure(size: u32): bool {
    const given = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    const line = lines(given)[0];
    const equals = find(line, bytes("="), 0);
    if (equals > 0) {
      this.from = line.subarray(0, equals);
      this.to = line.subarray(equals + 1);
    }
    return true;
  }

  createContext(context_id: u32): Context {
    return new Stream(context_id, this);
  }
}

class Stream extends Context {
  root: Root;

  constructor(context_id: u32, root: Root) {
    super(context_id, root);
    this.root = root;
  }

  onResponseHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    if (!end_of_stream) removeHeader(RESPONSE, "content-length");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end_of_stream: bool): FilterDataStatusValues {
    if (!end_of_stream) return FilterDataStatusValues.StopIterationAndBuffer;
    const body = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, <u32>size));
    const parts = new Array<Uint8Array>();
    let start = 0;
    let at = find(body, this.root.from, 0);
    while (at >= 0) {
      parts.push(body.subarray(start, at));
      parts.push(this.root.to);
      start = at + this.root.from.length;
      at = find(body, this.root.from, start);
    }
    if (start > 0) {
      parts.push(body.subarray(start));
      set_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, <u32>size, raw(joined(parts)));
    }
    return FilterDataStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => new Root(context_id), "");

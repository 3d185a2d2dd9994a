// {{name}}: sets and removes header fields on requests and responses.
// An exception ends the instance; the compiler's abort writes its message to the log first.

export * from "@gcoredev/proxy-wasm-sdk-as/assembly/proxy";
import {
  BufferTypeValues,
  Context,
  FilterHeadersStatusValues,
  RootContext,
  get_buffer_bytes,
  registerRootContext,
} from "@gcoredev/proxy-wasm-sdk-as/assembly";
import { REQUEST, RESPONSE, bytes, lines, removeHeader, setHeader } from "./bytes";

class Root extends RootContext {
  greeting: Uint8Array = bytes("hello");

  onConfigure(size: u32): bool {
    const given = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    const greeting = lines(given)[0];
    if (greeting.length > 0) this.greeting = greeting;
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

  onRequestHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    setHeader(REQUEST, "x-{{name}}", bytes("request"));
    return FilterHeadersStatusValues.Continue;
  }

  onResponseHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    setHeader(RESPONSE, "x-{{name}}", this.root.greeting);
    removeHeader(RESPONSE, "x-powered-by");
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => new Root(context_id), "");

// A filter in AssemblyScript with the SDK of Gcore: sets a header on request and response, and logs.
// What it says comes from its configuration; it refuses nothing.

export * from "@gcoredev/proxy-wasm-sdk-as/assembly/proxy";
import {
  Context,
  FilterHeadersStatusValues,
  LogLevelValues,
  RootContext,
  log,
  registerRootContext,
  stream_context,
} from "@gcoredev/proxy-wasm-sdk-as/assembly";

class HeaderRoot extends RootContext {
  createContext(context_id: u32): Context {
    return new Header(context_id, this);
  }
}

class Header extends Context {
  constructor(context_id: u32, root_context: HeaderRoot) {
    super(context_id, root_context);
  }

  onRequestHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    log(LogLevelValues.info, "path " + stream_context.headers.request.get(":path"));
    stream_context.headers.request.replace("x-t-as", "request");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    log(LogLevelValues.info, "response");
    stream_context.headers.response.replace("x-t-as", this.root_context.getConfiguration());
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((context_id: u32) => {
  return new HeaderRoot(context_id);
}, "header");

// {{name}}: lets in who has an API key and answers everybody else with 401. Without keys it refuses everybody.
// An exception ends the instance; the compiler's abort writes its message to the log first.

export * from "@gcoredev/proxy-wasm-sdk-as/assembly/proxy";
import {
  BufferTypeValues,
  Context,
  FilterHeadersStatusValues,
  LogLevelValues,
  RootContext,
  get_buffer_bytes,
  log,
  makeHeaderPair,
  send_http_response,
  registerRootContext,
} from "@gcoredev/proxy-wasm-sdk-as/assembly";
import { REQUEST, header, lines, removeHeader } from "./bytes";

class Root extends RootContext {
  keys: Array<Uint8Array> = new Array<Uint8Array>();

  onConfigure(size: u32): bool {
    const given = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    const found = lines(given);
    for (let i = 0; i < found.length; i++) {
      if (found[i].length > 0 && found[i][0] != 0x23) this.keys.push(found[i]);
    }
    if (this.keys.length == 0) log(LogLevelValues.warn, "no keys are configured: everybody is refused");
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
    if (this.admits(header(REQUEST, "x-api-key"))) {
      removeHeader(REQUEST, "x-api-key"); // the application has no use for it
      return FilterHeadersStatusValues.Continue;
    }
    const fields = [
      makeHeaderPair("www-authenticate", 'ApiKey realm="{{name}}"'),
      makeHeaderPair("cache-control", "no-store"),
    ];
    send_http_response(401, "", String.UTF8.encode("an API key is needed\n"), fields);
    return FilterHeadersStatusValues.StopIteration;
  }

  /** Takes as long for a key that is nearly right as for any other. */
  admits(given: Uint8Array): bool {
    let admitted = false;
    for (let i = 0; i < this.root.keys.length; i++) {
      const key = this.root.keys[i];
      if (key.length != given.length) continue;
      let differs: u8 = 0;
      for (let at = 0; at < key.length; at++) differs |= key[at] ^ given[at];
      if (differs == 0) admitted = true;
    }
    return admitted;
  }
}

registerRootContext((context_id: u32) => new Root(context_id), "");

// {{name}}: puts a banner before </body> of every HTML page, in whatever pieces the page comes.
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
import { RESPONSE, bytes, hasAt, header, joined, raw, removeHeader, trimmed } from "./bytes";

class Root extends RootContext {
  banner: Uint8Array = new Uint8Array(0);

  onConfigure(size: u32): bool {
    const given = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    const text = trimmed(given);
    this.banner = banner(text.length > 0 ? text : bytes("{{name}}"));
    return true;
  }

  createContext(context_id: u32): Context {
    return new Stream(context_id, this);
  }
}

class Stream extends Context {
  root: Root;
  active: bool = false;
  held: Uint8Array = new Uint8Array(0);

  constructor(context_id: u32, root: Root) {
    super(context_id, root);
    this.root = root;
  }

  onResponseHeaders(headers: u32, end_of_stream: bool): FilterHeadersStatusValues {
    this.active = !end_of_stream && hasAt(header(RESPONSE, "content-type"), 0, bytes("text/html"));
    if (this.active) removeHeader(RESPONSE, "content-length");
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end_of_stream: bool): FilterDataStatusValues {
    if (!this.active && this.held.length == 0) return FilterDataStatusValues.Continue;
    const piece = Uint8Array.wrap(get_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, <u32>size));
    const page = joined([this.held, piece]);
    let out = page;
    this.held = new Uint8Array(0);
    const place = bytes("</body");
    let at = 0;
    while (at < page.length && !hasAt(page, at, place)) at++;
    if (at < page.length) {
      out = joined([page.subarray(0, at), this.root.banner, page.subarray(at)]);
      this.active = false;
    } else if (!end_of_stream) {
      // What may be the beginning of the place is held back.
      let held = min(place.length - 1, page.length);
      while (held > 0 && !hasAt(page, page.length - held, place.subarray(0, held))) held--;
      out = page.subarray(0, page.length - held);
      this.held = page.slice(page.length - held);
    }
    set_buffer_bytes(BufferTypeValues.HttpResponseBody, 0, <u32>size, raw(out));
    return FilterDataStatusValues.Continue;
  }
}

/** The markup; the text is no markup. */
function banner(text: Uint8Array): Uint8Array {
  const parts = [bytes('<div role="note">')];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c == 0x26) parts.push(bytes("&amp;"));
    else if (c == 0x3c) parts.push(bytes("&lt;"));
    else if (c == 0x3e) parts.push(bytes("&gt;"));
    else parts.push(text.subarray(i, i + 1));
  }
  parts.push(bytes("</div>"));
  return joined(parts);
}

registerRootContext((context_id: u32) => new Root(context_id), "");

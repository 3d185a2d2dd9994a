/* {{name}}: puts a banner before </body> of every HTML page. The host keeps a page until all of it is there. */

#include "proxy_wasm.h"

/* The configuration, kept for the life of the instance. */
static u8 kept[65536];
static Bytes text;

EXPORT(proxy_on_configure) u32 proxy_on_configure(u32 context, u32 size) {
  UNUSED(context);
  begin_callback();
  if (size > sizeof kept) {
    log_bytes(LOG_ERROR, B("the configuration is larger than 64 KiB"));
    return 0;
  }
  Bytes given = buffer(PLUGIN_CONFIGURATION, size);
  copy(kept, given);
  text = trimmed((Bytes){kept, given.length});
  if (text.length == 0) text = B("{{name}}");
  return 1;
}

EXPORT(proxy_on_context_create) void proxy_on_context_create(u32 context, u32 parent) {
  UNUSED(context), UNUSED(parent);
}

EXPORT(proxy_on_response_headers) u32 proxy_on_response_headers(u32 context, u32 headers, u32 end_of_stream) {
  UNUSED(context), UNUSED(headers);
  begin_callback();
  if (!end_of_stream && begins(header(RESPONSE_HEADERS, B("content-type")), B("text/html")))
    remove_header(RESPONSE_HEADERS, B("content-length"));
  return CONTINUE;
}

static u8 *append(u8 *to, Bytes from) {
  copy(to, from);
  return to + from.length;
}

/* Text as it may stand in an element. */
static u8 *append_escaped(u8 *to, Bytes from) {
  for (u32 i = 0; i < from.length; i++) {
    u8 c = from.at[i];
    to = append(to, c == '&' ? B("&amp;") : c == '<' ? B("&lt;") : c == '>' ? B("&gt;") : (Bytes){&c, 1});
  }
  return to;
}

EXPORT(proxy_on_response_body) u32 proxy_on_response_body(u32 context, u32 size, u32 end_of_stream) {
  UNUSED(context);
  begin_callback();
  if (!begins(header(RESPONSE_HEADERS, B("content-type")), B("text/html"))) return CONTINUE;
  if (!end_of_stream) return PAUSE;
  Bytes page = buffer(RESPONSE_BODY, size);
  u32 at = 0;
  while (at < page.length && !begins((Bytes){page.at + at, page.length - at}, B("</body"))) at++;
  if (at == page.length) return CONTINUE;
  Bytes open = B("<div role=\"note\">"), close = B("</div>");
  u8 *out = allocate_or_fail(page.length + open.length + 5 * text.length + close.length);
  u8 *end = append(out, (Bytes){page.at, at});
  end = append(append_escaped(append(end, open), text), close);
  end = append(end, (Bytes){page.at + at, page.length - at});
  if (proxy_set_buffer_bytes(RESPONSE_BODY, 0, size, out, (u32)(end - out)))
    log_bytes(LOG_ERROR, B("the page could not be set"));
  return CONTINUE;
}

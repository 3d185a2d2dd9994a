/* {{name}}: replaces a text in the bodies of responses. The host keeps a body until all of it is there. */

#include "proxy_wasm.h"

/* The configuration, kept for the life of the instance. */
static u8 kept[65536];
static Bytes from, to;

EXPORT(proxy_on_configure) u32 proxy_on_configure(u32 context, u32 size) {
  UNUSED(context);
  begin_callback();
  if (size > sizeof kept) {
    log_bytes(LOG_ERROR, B("the configuration is larger than 64 KiB"));
    return 0;
  }
  Bytes given = buffer(PLUGIN_CONFIGURATION, size);
  copy(kept, given);
  Bytes rest = {kept, given.length}, line = next_line(&rest);
  u32 equals = 0;
  while (equals < line.length && line.at[equals] != '=') equals++;
  from = B("Hello"), to = B("Good day");
  if (equals > 0 && equals < line.length) {
    from = (Bytes){line.at, equals};
    to = (Bytes){line.at + equals + 1, line.length - equals - 1};
  }
  return 1;
}

EXPORT(proxy_on_context_create) void proxy_on_context_create(u32 context, u32 parent) {
  UNUSED(context), UNUSED(parent);
}

EXPORT(proxy_on_response_headers) u32 proxy_on_response_headers(u32 context, u32 headers, u32 end_of_stream) {
  UNUSED(context), UNUSED(headers);
  begin_callback();
  if (!end_of_stream) remove_header(RESPONSE_HEADERS, B("content-length"));
  return CONTINUE;
}

static int is_at(Bytes body, u32 at) {
  if (body.length - at < from.length) return 0;
  for (u32 i = 0; i < from.length; i++)
    if (body.at[at + i] != from.at[i]) return 0;
  return 1;
}

EXPORT(proxy_on_response_body) u32 proxy_on_response_body(u32 context, u32 size, u32 end_of_stream) {
  UNUSED(context);
  if (!end_of_stream) return PAUSE;
  begin_callback();
  Bytes body = buffer(RESPONSE_BODY, size);
  u32 found = 0;
  for (u32 at = 0; at < body.length;)
    if (is_at(body, at)) found++, at += from.length;
    else at++;
  if (found == 0) return CONTINUE;
  u32 length = body.length - found * from.length + found * to.length, used = 0;
  u8 *out = allocate_or_fail(length);
  for (u32 at = 0; at < body.length;)
    if (is_at(body, at)) copy(out + used, to), used += to.length, at += from.length;
    else out[used++] = body.at[at++];
  if (proxy_set_buffer_bytes(RESPONSE_BODY, 0, size, out, length)) log_bytes(LOG_ERROR, B("the body could not be set"));
  return CONTINUE;
}

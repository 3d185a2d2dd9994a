/* {{name}}: sets and removes header fields on requests and responses. Refuses nothing. */

#include "proxy_wasm.h"

#define HEADER B("x-{{name}}")

/* The configuration, kept for the life of the instance. */
static u8 kept[65536];
static Bytes greeting;

EXPORT(proxy_on_configure) u32 proxy_on_configure(u32 context, u32 size) {
  UNUSED(context);
  begin_callback();
  if (size > sizeof kept) {
    log_bytes(LOG_ERROR, B("the configuration is larger than 64 KiB"));
    return 0;
  }
  Bytes given = buffer(PLUGIN_CONFIGURATION, size);
  copy(kept, given);
  Bytes rest = {kept, given.length};
  greeting = next_line(&rest);
  if (greeting.length == 0) greeting = B("hello");
  return 1;
}

EXPORT(proxy_on_context_create) void proxy_on_context_create(u32 context, u32 parent) {
  UNUSED(context), UNUSED(parent);
}

EXPORT(proxy_on_request_headers) u32 proxy_on_request_headers(u32 context, u32 headers, u32 end_of_stream) {
  UNUSED(context), UNUSED(headers), UNUSED(end_of_stream);
  begin_callback();
  set_header(REQUEST_HEADERS, HEADER, B("request"));
  return CONTINUE;
}

EXPORT(proxy_on_response_headers) u32 proxy_on_response_headers(u32 context, u32 headers, u32 end_of_stream) {
  UNUSED(context), UNUSED(headers), UNUSED(end_of_stream);
  begin_callback();
  set_header(RESPONSE_HEADERS, HEADER, greeting);
  remove_header(RESPONSE_HEADERS, B("x-powered-by"));
  return CONTINUE;
}

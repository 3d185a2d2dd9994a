/* {{name}}: lets in who has an API key and answers everybody else with 401. Without keys it refuses everybody. */

#include "proxy_wasm.h"

#define KEY_HEADER B("x-api-key")

/* The configuration, kept for the life of the instance. */
static u8 kept[65536];
static Bytes keys;

EXPORT(proxy_on_configure) u32 proxy_on_configure(u32 context, u32 size) {
  UNUSED(context);
  begin_callback();
  if (size > sizeof kept) {
    log_bytes(LOG_ERROR, B("the configuration is larger than 64 KiB"));
    return 0;
  }
  Bytes given = buffer(PLUGIN_CONFIGURATION, size);
  copy(kept, given);
  keys = (Bytes){kept, given.length};
  if (trimmed(keys).length == 0) log_bytes(LOG_WARN, B("no keys are configured: everybody is refused"));
  return 1;
}

EXPORT(proxy_on_context_create) void proxy_on_context_create(u32 context, u32 parent) {
  UNUSED(context), UNUSED(parent);
}

/* Takes as long for a key that is nearly right as for any other. */
static int admits(Bytes given) {
  Bytes rest = keys;
  int admitted = 0;
  while (rest.length) {
    Bytes key = next_line(&rest);
    if (key.length == 0 || key.at[0] == '#' || key.length != given.length) continue;
    u8 differs = 0;
    for (u32 i = 0; i < key.length; i++) differs |= key.at[i] ^ given.at[i];
    admitted |= differs == 0;
  }
  return admitted;
}

/* Header pairs as the host reads them: count, the lengths of each name and value, then the texts, each ended by 0. */
static Bytes pairs(const Bytes *texts, u32 count) {
  u32 length = 4 + 4 * count;
  for (u32 i = 0; i < count; i++) length += texts[i].length + 1;
  u8 *out = allocate_or_fail(length), *text = out + 4 + 4 * count;
  *(u32 *)out = count / 2;
  for (u32 i = 0; i < count; i++) {
    ((u32 *)out)[1 + i] = texts[i].length;
    copy(text, texts[i]);
    text[texts[i].length] = 0;
    text += texts[i].length + 1;
  }
  return (Bytes){out, length};
}

EXPORT(proxy_on_request_headers) u32 proxy_on_request_headers(u32 context, u32 headers, u32 end_of_stream) {
  UNUSED(context), UNUSED(headers), UNUSED(end_of_stream);
  begin_callback();
  if (admits(header(REQUEST_HEADERS, KEY_HEADER))) {
    remove_header(REQUEST_HEADERS, KEY_HEADER); /* the application has no use for it */
    return CONTINUE;
  }
  const Bytes texts[] = {B("www-authenticate"), B("ApiKey realm=\"{{name}}\""), B("cache-control"), B("no-store")};
  Bytes fields = pairs(texts, 4), body = B("an API key is needed\n");
  proxy_send_local_response(401, 0, 0, body.at, body.length, fields.at, fields.length, (u32)-1);
  return PAUSE;
}

/* A filter in C without an SDK or a libc: sets a header on request and response, and logs.
 *
 * Refuses configuration. Memory the host asks for is given from a fixed arena, again and again from its beginning for
 * every callback, because nothing the host returns is kept. */

typedef unsigned int u32;
#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))

IMPORT(proxy_log) u32 proxy_log(u32 level, const char *text, u32 length);
IMPORT(proxy_replace_header_map_value)
u32 proxy_replace_header_map_value(u32 map, const char *key, u32 key_length, const char *value, u32 length);
IMPORT(proxy_get_header_map_value)
u32 proxy_get_header_map_value(u32 map, const char *key, u32 key_length, char **value, u32 *length);

static char arena[65536];
static u32 used;

EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

EXPORT(proxy_on_memory_allocate) void *proxy_on_memory_allocate(u32 size) {
  u32 start = (used + 15) & ~15u;
  if (size > sizeof arena - start) return 0;
  used = start + size;
  return arena + start;
}

EXPORT(proxy_on_context_create) void proxy_on_context_create(u32 context, u32 parent) {
  (void)context, (void)parent;
}

/* Logs the path, whatever bytes it has, and sets x-t-c. */
EXPORT(proxy_on_request_headers) u32 proxy_on_request_headers(u32 context, u32 headers, u32 end_of_stream) {
  (void)context, (void)headers, (void)end_of_stream;
  char *path = 0;
  u32 length = 0;
  used = 0;
  if (proxy_get_header_map_value(0, ":path", 5, &path, &length) == 0 && length > 0) proxy_log(2, path, length);
  proxy_replace_header_map_value(0, "x-t-c", 5, "request", 7);
  return 0;
}

EXPORT(proxy_on_response_headers) u32 proxy_on_response_headers(u32 context, u32 headers, u32 end_of_stream) {
  (void)context, (void)headers, (void)end_of_stream;
  proxy_log(2, "response", 8);
  proxy_replace_header_map_value(2, "x-t-c", 5, "response", 8);
  return 0;
}

/* Proxy-Wasm 0.2.1 as this filter uses it: imports, bytes, memory, failing aloud.
 *
 * Texts are bytes with a length and nothing more: a header value need not be UTF-8 and does not end with 0.
 * Memory that the host asks for lives until the end of the callback: begin each with begin_callback(). What has to live
 * longer is copied to where you keep it. */

#ifndef PROXY_WASM_H
#define PROXY_WASM_H

typedef unsigned char u8;
typedef unsigned int u32;

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))
#define UNUSED(x) ((void)(x))

typedef struct {
  const u8 *at;
  u32 length;
} Bytes;

/* A literal as bytes. */
#define B(text) ((Bytes){(const u8 *)(text), sizeof(text) - 1})

enum { LOG_INFO = 2, LOG_WARN = 3, LOG_ERROR = 4, LOG_CRITICAL = 5 };
enum { REQUEST_HEADERS = 0, RESPONSE_HEADERS = 2 };
enum { REQUEST_BODY = 0, RESPONSE_BODY = 1, PLUGIN_CONFIGURATION = 7 };
enum { CONTINUE = 0, PAUSE = 1 };

IMPORT(proxy_log) u32 proxy_log(u32 level, const u8 *text, u32 length);
IMPORT(proxy_get_header_map_value)
u32 proxy_get_header_map_value(u32 map, const u8 *key, u32 key_length, u8 **value, u32 *length);
IMPORT(proxy_replace_header_map_value)
u32 proxy_replace_header_map_value(u32 map, const u8 *key, u32 key_length, const u8 *value, u32 length);
IMPORT(proxy_remove_header_map_value) u32 proxy_remove_header_map_value(u32 map, const u8 *key, u32 key_length);
IMPORT(proxy_get_buffer_bytes) u32 proxy_get_buffer_bytes(u32 buffer, u32 start, u32 size, u8 **bytes, u32 *length);
IMPORT(proxy_set_buffer_bytes) u32 proxy_set_buffer_bytes(u32 buffer, u32 start, u32 size, const u8 *bytes, u32 length);
IMPORT(proxy_send_local_response)
u32 proxy_send_local_response(u32 status, const u8 *details, u32 details_length, const u8 *body, u32 body_length,
                              const u8 *headers, u32 headers_length, u32 grpc_status);

static inline void log_bytes(u32 level, Bytes text) { proxy_log(level, text.at, text.length); }

/* What a panic is elsewhere: says why, then ends this instance; the next request gets another. */
static inline void fail(Bytes why) {
  log_bytes(LOG_CRITICAL, why);
  __builtin_trap();
}

/* Memory: grows as needed, starts again at every callback. */
extern u8 __heap_base;
static u32 heap_used;

static inline void begin_callback(void) { heap_used = 0; }

static u8 *allocate(u32 size) {
  u32 start = ((u32)&__heap_base + heap_used + 15) & ~15u;
  if (size > 0xffffffffu - start) return 0;
  u32 end = start + size, have = __builtin_wasm_memory_size(0) << 16;
  if (end > have && __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) == (__SIZE_TYPE__)-1) return 0;
  heap_used = end - (u32)&__heap_base;
  return (u8 *)start;
}

static inline u8 *allocate_or_fail(u32 size) {
  u8 *at = allocate(size);
  if (!at) fail(B("out of memory"));
  return at;
}

EXPORT(proxy_on_memory_allocate) u8 *proxy_on_memory_allocate(u32 size) { return allocate(size); }
EXPORT(proxy_abi_version_0_2_1) void proxy_abi_version_0_2_1(void) {}

static inline void copy(u8 *to, Bytes from) {
  for (u32 i = 0; i < from.length; i++) to[i] = from.at[i];
}

/* A header's value; length 0 if there is none. */
static inline Bytes header(u32 map, Bytes name) {
  u8 *value = 0;
  u32 length = 0;
  if (proxy_get_header_map_value(map, name.at, name.length, &value, &length)) return (Bytes){0, 0};
  return (Bytes){value, length};
}

static inline void set_header(u32 map, Bytes name, Bytes value) {
  if (proxy_replace_header_map_value(map, name.at, name.length, value.at, value.length))
    log_bytes(LOG_ERROR, B("a header could not be set"));
}

static inline void remove_header(u32 map, Bytes name) { proxy_remove_header_map_value(map, name.at, name.length); }

static inline Bytes buffer(u32 which, u32 size) {
  u8 *bytes = 0;
  u32 length = 0;
  if (size == 0 || proxy_get_buffer_bytes(which, 0, size, &bytes, &length)) return (Bytes){0, 0};
  return (Bytes){bytes, length};
}

static inline Bytes trimmed(Bytes text) {
  while (text.length && text.at[0] <= ' ') text.at++, text.length--;
  while (text.length && text.at[text.length - 1] <= ' ') text.length--;
  return text;
}

/* The next line of `text`, which is shortened by it. */
static inline Bytes next_line(Bytes *text) {
  u32 end = 0;
  while (end < text->length && text->at[end] != '\n') end++;
  Bytes line = {text->at, end};
  u32 taken = end < text->length ? end + 1 : end;
  text->at += taken, text->length -= taken;
  return trimmed(line);
}

static inline u8 lower(u8 c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Whether `text` begins with `start`, which is in lower case, in whatever case. */
static inline int begins(Bytes text, Bytes start) {
  if (text.length < start.length) return 0;
  for (u32 i = 0; i < start.length; i++)
    if (lower(text.at[i]) != start.at[i]) return 0;
  return 1;
}

#endif

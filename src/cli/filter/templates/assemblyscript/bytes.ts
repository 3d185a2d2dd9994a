// Headers and bodies as bytes: a header value need not be UTF-8, so the string functions of the SDK are not used for
// what clients send. Also the configuration as bytes, and small work on bytes.

import {
  get_header_map_value,
  remove_header_map_value,
  replace_header_map_value,
  HeaderMapTypeValues,
} from "@gcoredev/proxy-wasm-sdk-as/assembly/runtime";

export const REQUEST = HeaderMapTypeValues.RequestHeaders;
export const RESPONSE = HeaderMapTypeValues.ResponseHeaders;

/** A text of this source as bytes. */
export function bytes(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

/** Bytes as the host takes them. */
export function raw(view: Uint8Array): ArrayBuffer {
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

/** A header's value; empty if there is none. */
export function header(map: HeaderMapTypeValues, name: string): Uint8Array {
  return Uint8Array.wrap(get_header_map_value(map, String.UTF8.encode(name)));
}

export function setHeader(map: HeaderMapTypeValues, name: string, value: Uint8Array): void {
  replace_header_map_value(map, String.UTF8.encode(name), raw(value));
}

export function removeHeader(map: HeaderMapTypeValues, name: string): void {
  remove_header_map_value(map, String.UTF8.encode(name));
}

/** Whether `text` has `part`, which is in lower case, at `at`, in whatever case. */
export function hasAt(text: Uint8Array, at: i32, part: Uint8Array): bool {
  if (text.length - at < part.length) return false;
  for (let i = 0; i < part.length; i++) {
    const c = text[at + i];
    if ((c >= 0x41 && c <= 0x5a ? c + 32 : c) != part[i]) return false;
  }
  return true;
}

/** Where `part` begins in `text` from `at` on, byte for byte; -1 if nowhere. */
export function find(text: Uint8Array, part: Uint8Array, at: i32): i32 {
  for (; at + part.length <= text.length; at++) {
    let i = 0;
    while (i < part.length && text[at + i] == part[i]) i++;
    if (i == part.length) return at;
  }
  return -1;
}

/** Without blanks at both ends. */
export function trimmed(text: Uint8Array): Uint8Array {
  let start = 0;
  let end = text.length;
  while (start < end && text[start] <= 0x20) start++;
  while (end > start && text[end - 1] <= 0x20) end--;
  return text.subarray(start, end);
}

/** The lines, trimmed. */
export function lines(text: Uint8Array): Array<Uint8Array> {
  const found = new Array<Uint8Array>();
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    if (at == text.length || text[at] == 0x0a) {
      found.push(trimmed(text.subarray(start, at)));
      start = at + 1;
    }
  }
  return found;
}

/** One after the other. */
export function joined(parts: Array<Uint8Array>): Uint8Array {
  let length = 0;
  for (let i = 0; i < parts.length; i++) length += parts[i].length;
  const whole = new Uint8Array(length);
  let at = 0;
  for (let i = 0; i < parts.length; i++) {
    whole.set(parts[i], at);
    at += parts[i].length;
  }
  return whole;
}

/* Frames of the neurostim wire protocol, version 1: byte stuffing, checksum, header (specification.md, section 1).
 *
 * Portable C99 without dependencies. It allocates nothing and keeps no state; every function works on memory of
 * its caller. The messages are in neurostim_wire.h, which is generated; sealing needs X25519, ChaCha20-Poly1305 and
 * SHA-256 from elsewhere (section 13). */

#ifndef NEUROSTIM_FRAME_H
#define NEUROSTIM_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
    NS_FRAME_VERSION = 1,
    NS_MAX_FRAME_BYTES = 1024, /* on the line, delimiters included */
    NS_HEADER_BYTES = 30,
    NS_CRC_BYTES = 4,
    NS_TAG_BYTES = 16,
    NS_MAX_PAYLOAD_BYTES = 960
};

enum { NS_FLAG_REPLY = 0x01, NS_FLAG_EVENT = 0x02, NS_FLAG_AUTHENTICATED = 0x04 };

/* What reading a frame or a payload gave. From NS_UNSUPPORTED_VERSION on a device answers with the error of that
 * name; what comes before is damage, counted and dropped without an answer. */
typedef enum {
    NS_OK = 0,
    NS_TOO_LONG,
    NS_BAD_STUFFING,
    NS_TOO_SHORT,
    NS_BAD_CHECKSUM,
    NS_UNSUPPORTED_VERSION,
    NS_UNKNOWN_TYPE,
    NS_MALFORMED
} ns_result;

typedef struct {
    uint8_t type;
    uint8_t flags;
    uint32_t session;
    uint64_t sequence;
    uint32_t command_id;
    uint64_t lease_us;
    uint16_t payload_length;
} ns_header;

/* A frame that was read; the pointers lead into the caller's body. The first NS_HEADER_BYTES of the body are what a
 * seal covers beside the payload. */
typedef struct {
    ns_header header;
    const uint8_t *payload;
    const uint8_t *tag; /* NULL where the frame is not sealed */
} ns_frame;

/* Integers on the line are little-endian. */
static inline void ns_put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++) {
        out[at] = (uint8_t)(value >> (8 * at));
    }
}

static inline uint64_t ns_get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t at = 0; at < bytes; at++) {
        value |= (uint64_t)in[at] << (8 * at);
    }
    return value;
}

/* The signed value of so many bytes, without relying on how a compiler converts what does not fit. */
static inline int64_t ns_get_signed(const uint8_t *in, size_t bytes)
{
    uint64_t value = ns_get(in, bytes);
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    if ((value & sign) == 0) {
        return (int64_t)value;
    }
    return -(int64_t)(sign - 1 - (value & (sign - 1))) - 1;
}

/* CRC-32 of zlib and Ethernet. */
static inline uint32_t ns_crc32(const uint8_t *data, size_t length)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t at = 0; at < length; at++) {
        crc ^= data[at];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) ? 0xEDB88320u : 0u);
        }
    }
    return crc ^ 0xFFFFFFFFu;
}

/* Most bytes that stuffing `length` bytes gives. */
static inline size_t ns_cobs_bound(size_t length)
{
    return length + (length < 254 ? 1 : (length + 253) / 254);
}

/* Stuff `length` bytes; `out` has room for ns_cobs_bound(length). Returns the bytes written. */
static inline size_t ns_cobs_encode(const uint8_t *data, size_t length, uint8_t *out)
{
    size_t place = 0, end = 1;
    uint8_t code = 1;
    for (size_t at = 0; at < length; at++) {
        if (data[at] != 0) {
            out[end++] = data[at];
            code++;
        }
        if (data[at] == 0 || code == 255) {
            out[place] = code;
            if (code == 255 && at + 1 == length) {
                return end; /* a full run stands for no zero, and nothing follows it */
            }
            place = end++;
            code = 1;
        }
    }
    out[place] = code;
    return end;
}

/* Undo ns_cobs_encode; `out` has room for `length`. Refuses what no encoding gives. */
static inline ns_result ns_cobs_decode(const uint8_t *data, size_t length, uint8_t *out, size_t *out_length)
{
    size_t at = 0, end = 0;
    uint8_t before = 0, code = 0;
    if (length == 0) {
        return NS_BAD_STUFFING;
    }
    while (at < length) {
        before = code;
        code = data[at];
        if (code == 0 || code > length - at) {
            return NS_BAD_STUFFING;
        }
        for (size_t next = at + 1; next < at + code; next++) {
            if (data[next] == 0) {
                return NS_BAD_STUFFING;
            }
            out[end++] = data[next];
        }
        at += code;
        if (code != 255 && at < length) {
            out[end++] = 0;
        }
    }
    if (before == 255 && code == 1) {
        return NS_BAD_STUFFING;
    }
    *out_length = end;
    return NS_OK;
}

/* The 30 bytes of a header. */
static inline void ns_header_write(const ns_header *header, uint8_t *out)
{
    out[0] = NS_FRAME_VERSION;
    out[1] = header->type;
    out[2] = header->flags;
    out[3] = 0;
    ns_put(out + 4, header->session, 4);
    ns_put(out + 8, header->sequence, 8);
    ns_put(out + 16, header->command_id, 4);
    ns_put(out + 20, header->lease_us, 8);
    ns_put(out + 28, header->payload_length, 2);
}

/* A whole frame with both delimiters: header, payload (encrypted where the flag says authenticated), and then the tag.
 * `body` and `line` have room for NS_MAX_FRAME_BYTES each. Returns the bytes on the line, 0 where it cannot be sent. */
static inline size_t ns_frame_write(const ns_header *header, const uint8_t *payload, const uint8_t *tag,
                                    uint8_t *body, uint8_t *line)
{
    size_t end = NS_HEADER_BYTES;
    int sealed = (header->flags & NS_FLAG_AUTHENTICATED) != 0;
    if (header->payload_length > NS_MAX_PAYLOAD_BYTES || header->type == 0 || header->type > 0x7F ||
        (header->flags & ~NS_FLAG_AUTHENTICATED) > NS_FLAG_EVENT || sealed != (tag != NULL)) {
        return 0;
    }
    ns_header_write(header, body);
    for (size_t at = 0; at < header->payload_length; at++) {
        body[end++] = payload[at];
    }
    for (size_t at = 0; sealed && at < NS_TAG_BYTES; at++) {
        body[end++] = tag[at];
    }
    ns_put(body + end, ns_crc32(body, end), NS_CRC_BYTES);
    line[0] = 0;
    end = 1 + ns_cobs_encode(body, end + NS_CRC_BYTES, line + 1);
    line[end] = 0;
    return end + 1;
}

/* Read what stood between two delimiters; `body` has room for NS_MAX_FRAME_BYTES. */
static inline ns_result ns_frame_read(const uint8_t *stuffed, size_t length, uint8_t *body, ns_frame *frame)
{
    size_t end = 0, tag = 0;
    ns_header *header = &frame->header;
    if (length > NS_MAX_FRAME_BYTES - 2) {
        return NS_TOO_LONG;
    }
    if (ns_cobs_decode(stuffed, length, body, &end) != NS_OK) {
        return NS_BAD_STUFFING;
    }
    if (end < NS_HEADER_BYTES + NS_CRC_BYTES) {
        return NS_TOO_SHORT;
    }
    end -= NS_CRC_BYTES;
    if (ns_get(body + end, NS_CRC_BYTES) != ns_crc32(body, end)) {
        return NS_BAD_CHECKSUM;
    }
    if (body[0] != NS_FRAME_VERSION) {
        return NS_UNSUPPORTED_VERSION;
    }
    header->type = body[1];
    header->flags = body[2];
    header->session = (uint32_t)ns_get(body + 4, 4);
    header->sequence = ns_get(body + 8, 8);
    header->command_id = (uint32_t)ns_get(body + 16, 4);
    header->lease_us = ns_get(body + 20, 8);
    header->payload_length = (uint16_t)ns_get(body + 28, 2);
    if ((header->flags & ~NS_FLAG_AUTHENTICATED) > NS_FLAG_EVENT || body[3] != 0 || header->type == 0 ||
        header->type > 0x7F) {
        return NS_MALFORMED;
    }
    if (header->flags & NS_FLAG_AUTHENTICATED) {
        tag = NS_TAG_BYTES;
    }
    if (header->payload_length > NS_MAX_PAYLOAD_BYTES || end != NS_HEADER_BYTES + header->payload_length + tag) {
        return NS_MALFORMED;
    }
    frame->payload = body + NS_HEADER_BYTES;
    frame->tag = tag != 0 ? body + end - NS_TAG_BYTES : NULL;
    return NS_OK;
}

#endif

/* Answers questions of a test about the C headers of the wire protocol, one a line on standard input:
 *
 *   stuff HEX            -> HEX
 *   unstuff HEX          -> ok HEX | result N
 *   message T K HEX      -> ok HEX (written again from what was read) | result N
 *   frame HEX            -> ok TYPE FLAGS SESSION SEQUENCE ID LEASE PAYLOAD TAG LINE (written again) | result N
 *   asks T               -> N
 *   keys                 -> NAME | BEGINNING | INFO | KEY MESSAGE HOST SERIAL PROLOGUE CODE NONCE TAG (bytes)
 *   prologue P HEX HEX   -> HEX (of purpose, host id, serial number) | refused
 *   covered LINE         -> HEX HEX (associated data and nonce of a sealed frame)
 *
 * HEX is hex digits, or - for nothing; LINE and the HEX of a frame are what stands between and with the delimiters. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "neurostim_wire.h"

static size_t octets(const char *text, uint8_t *out)
{
    size_t length = 0;
    for (; text[0] != 0 && text[0] != '-' && text[1] != 0; text += 2) {
        char pair[3] = {text[0], text[1], 0};
        out[length++] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return length;
}

static void show(const uint8_t *data, size_t length)
{
    printf(length == 0 ? " -" : " ");
    for (size_t at = 0; at < length; at++) {
        printf("%02x", (unsigned)data[at]);
    }
}

static void message(unsigned type, unsigned kind, const uint8_t *payload, size_t length)
{
    static ns_message read;
    uint8_t again[NS_MAX_PAYLOAD_BYTES];
    ns_result result = ns_message_read((uint8_t)type, (uint8_t)kind, payload, length, &read);
    int written;
    if (result != NS_OK) {
        printf("result %d", (int)result);
        return;
    }
    written = ns_message_write((uint8_t)type, (uint8_t)kind, &read, again);
    if (written < 0) {
        printf("not written");
        return;
    }
    printf("ok");
    show(again, (size_t)written);
}

static void frame(const uint8_t *line, size_t length)
{
    uint8_t body[NS_MAX_FRAME_BYTES], again[NS_MAX_FRAME_BYTES], out[NS_MAX_FRAME_BYTES];
    ns_frame read;
    ns_result result = ns_frame_read(line + 1, length - 2, body, &read);
    if (result != NS_OK) {
        printf("result %d", (int)result);
        return;
    }
    printf("ok %u %u %" PRIu32 " %" PRIu64 " %" PRIu32 " %" PRIu64, (unsigned)read.header.type,
           (unsigned)read.header.flags, read.header.session, read.header.sequence, read.header.command_id,
           read.header.lease_us);
    show(read.payload, read.header.payload_length);
    show(read.tag, read.tag == NULL ? 0 : NS_TAG_BYTES);
    show(out, ns_frame_write(&read.header, read.payload, read.tag, again, out));
}

static void prologue(unsigned purpose, const uint8_t *host_id, const char *serial)
{
    uint8_t made[NS_PROLOGUE_BYTES];
    if (!ns_prologue_write((uint8_t)purpose, host_id, serial, made)) {
        printf("refused");
        return;
    }
    printf("ok");
    show(made, sizeof made);
}

static void covered(const uint8_t *line, size_t length)
{
    uint8_t body[NS_MAX_FRAME_BYTES], nonce[NS_NONCE_BYTES];
    ns_frame read;
    ns_result result = ns_frame_read(line + 1, length - 2, body, &read);
    if (result != NS_OK || read.tag == NULL) {
        printf("not sealed");
        return;
    }
    ns_nonce_write(read.header.sequence, nonce);
    printf("ok");
    show(body, NS_HEADER_BYTES);
    show(nonce, sizeof nonce);
}

int main(void)
{
    static char text[8192], word[16], rest[8192], more[256];
    static uint8_t data[4096], made[4200];
    while (fgets(text, sizeof text, stdin) != NULL) {
        unsigned type = 0, kind = 0;
        size_t length = 0, end = 0;
        if (sscanf(text, "message %u %u %8191s", &type, &kind, rest) == 3) {
            message(type, kind, data, octets(rest, data));
        } else if (strcmp(text, "keys\n") == 0) {
            printf("%s | %s | %s | %d %d %d %d %d %d %d %d", NS_NOISE_PROTOCOL_NAME, NS_PROLOGUE_BEGINNING,
                   NS_PAIRING_CODE_INFO, NS_KEY_BYTES, NS_HANDSHAKE_MESSAGE_BYTES, NS_HOST_ID_BYTES,
                   NS_SERIAL_NUMBER_BYTES, NS_PROLOGUE_BYTES, NS_PAIRING_CODE_BYTES, NS_NONCE_BYTES, NS_TAG_BYTES);
        } else if (sscanf(text, "prologue %u %8191s %255s", &type, rest, more) == 3) {
            octets(rest, data);
            made[octets(more, made)] = 0;
            prologue(type, data, (const char *)made);
        } else if (sscanf(text, "asks %u", &type) == 1) {
            printf("%u", (unsigned)ns_command_asks((uint8_t)type));
        } else if (sscanf(text, "%15s %8191s", word, rest) == 2) {
            length = octets(rest, data);
            if (strcmp(word, "stuff") == 0) {
                printf("ok");
                show(made, ns_cobs_encode(data, length, made));
            } else if (strcmp(word, "unstuff") == 0) {
                ns_result result = ns_cobs_decode(data, length, made, &end);
                if (result == NS_OK) {
                    printf("ok");
                    show(made, end);
                } else {
                    printf("result %d", (int)result);
                }
            } else if (strcmp(word, "covered") == 0 && length >= 2) {
                covered(data, length);
            } else if (strcmp(word, "frame") == 0 && length >= 2) {
                frame(data, length);
            }
        }
        printf("\n");
    }
    return 0;
}

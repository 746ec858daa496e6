/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes to message and back, and the checks that stand before every use. */
#include "fuzz/bytes.h"
#include "wire/codec.h"

static void check(const struct vh_msg *msg, uint32_t request)
{
    const char *why = NULL;

    for (int dir = VH_FROM_FRONT; dir <= VH_FROM_BACK; dir++) {
        CLAIM(vh_msg_name((enum vh_dir)dir, msg->request));
        why = NULL;
        if (vh_msg_check_request((enum vh_dir)dir, msg, &why) < 0) {
            CLAIM(why);
        } else {
            CLAIM(vh_msg_row((enum vh_dir)dir, msg->request));
        }
        if (!vh_msg_row((enum vh_dir)dir, request)) {
            continue;
        }
        for (int ack = 0; ack < 2; ack++) {
            why = NULL;
            if (vh_msg_check_reply((enum vh_dir)dir, request, ack, msg, &why) <
                0) {
                CLAIM(why);
            } else {
                CLAIM(msg->request == request);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t out[VH_MSG_HDR_SIZE + VH_MSG_PAYLOAD_MAX];
    struct bytes bytes = { data, size };
    struct vh_msg *msg = calloc(1, sizeof(*msg));
    unsigned n_fds = take_u8(&bytes) % (VH_MSG_FDS_MAX + 1);
    uint32_t request = take_u8(&bytes);
    uint8_t *in;

    CLAIM(msg);
    if (bytes.left < VH_MSG_HDR_SIZE ||
        vh_msg_decode_header(msg, bytes.at) < 0 ||
        bytes.left - VH_MSG_HDR_SIZE < msg->size) {
        free(msg);
        return 0;
    }
    CLAIM(msg->size <= VH_MSG_PAYLOAD_MAX);
    in = malloc(msg->size ? msg->size : 1); /* to read beyond it shows */
    CLAIM(in);
    memcpy(in, bytes.at + VH_MSG_HDR_SIZE, msg->size);
    vh_msg_decode_payload(msg, in);
    msg->n_fds = n_fds;
    check(msg, request);
    CLAIM(vh_msg_encode(msg, out) == VH_MSG_HDR_SIZE + msg->size);
    CLAIM(memcmp(out, bytes.at, VH_MSG_HDR_SIZE + msg->size) == 0);
    free(in);
    free(msg);
    return 0;
}

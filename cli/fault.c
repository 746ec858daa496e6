/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "size.h"

#define DELAY_MS_MAX (24 * 60 * 60 * 1000u)
#define NTH_MAX 1000000000u

/* Up to @at.  Return: 0 or -EINVAL. */
static int parse_what(const char *text, const char *at,
                      struct vhost_server_fault *fault)
{
    static const char *const kinds[] = {
        [VHOST_SERVER_FAULT_DELAY] = "delay=",
        [VHOST_SERVER_FAULT_DROP] = "drop",
        [VHOST_SERVER_FAULT_ERROR] = "error",
        [VHOST_SERVER_FAULT_CLOSE] = "close",
    };
    size_t len = (size_t)(at - text);
    char number[16];
    uint64_t ms;

    for (unsigned k = VHOST_SERVER_FAULT_DROP; k <= VHOST_SERVER_FAULT_CLOSE;
         k++) {
        if (len == strlen(kinds[k]) && strncmp(text, kinds[k], len) == 0) {
            fault->kind = k;
            return 0;
        }
    }
    if (len <= 6 || len - 6 >= sizeof(number) ||
        strncmp(text, kinds[VHOST_SERVER_FAULT_DELAY], 6) != 0) {
        return -EINVAL;
    }
    memcpy(number, text + 6, len - 6);
    number[len - 6] = '\0';
    if (size_parse_number(number, 0, DELAY_MS_MAX, &ms) < 0) {
        return -EINVAL;
    }
    fault->kind = VHOST_SERVER_FAULT_DELAY;
    fault->delay_ms = (unsigned)ms;
    return 0;
}

int fault_parse(char *text, struct vhost_server_fault *fault)
{
    char *at = strchr(text, '@');
    char *colon;
    uint64_t nth = 0;

    memset(fault, 0, sizeof(*fault));
    if (!at || at[1] == '\0' || parse_what(text, at, fault) < 0) {
        return -EINVAL;
    }
    colon = strchr(at, ':');
    if (isdigit((unsigned char)at[1])) {
        colon = at;
    } else if (colon == at + 1) {
        return -EINVAL;
    } else {
        fault->request = at + 1;
    }
    if (colon && size_parse_number(colon + 1, 1, NTH_MAX, &nth) < 0) {
        return -EINVAL;
    }
    fault->nth = (unsigned)nth;
    if (colon && fault->request) {
        *colon = '\0';
    }
    return 0;
}

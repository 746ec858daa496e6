/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frame of the tap is read with its header straight into memory that the
 * device sees, and one of the device is written to the tap from where the
 * device put it: the only copies are those of read(2) and writev(2).
 *
 * When all buffers for the device are in its queue, the tap is not read: its
 * own queue fills, and the host drops or slows down the sender, as it does
 * with any slow interface.  A tap that does not take a frame (it is down, or
 * the header makes no sense to the host) loses it.
 *
 * Both ends are looked at in each turn, for a bounded number of frames, so
 * that neither starves the other.  The signals that buffers were sent are
 * asked for only while the lack of them stops the tap; a signal that is lost
 * costs no more than a slice.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include "bridge-pump.h"
#include "checksum.h"
#include "out.h"
#include "system.h"

#define SECOND UINT64_C(1000000000)
#define SLICE_MS 100
#define BURST 32u
#define BURSTS_PER_TURN 4u
#define QUEUE_SIZE_DEFAULT 256u
#define TX_BUFFERS_MAX 256u
#define RX_MEMORY_MAX ((size_t)64 << 20)
#define PARTS_MAX 64u /* buffers of one received frame */
#define ETHERNET_MIN 14
#define PAGE 4096u
#define LINE 64u /* so that no two buffers share one */
#define TX_STRIDE ((BRIDGE_BUFFER_SIZE + LINE - 1) / LINE * LINE)

enum { POLL_TAP, POLL_CONTROL, POLL_RX, POLL_TX, N_POLLS };

struct pump {
    const struct bridge *b;
    struct bridge_counts *counts;
    struct vhost_net_rx *rx;
    struct vhost_net_tx *tx;
    void **rx_free;
    unsigned n_rx_free;
    void **tx_free;
    unsigned n_tx_free;
    unsigned tx_buffers; /* in all */
    bool tx_starved;     /* and so the tap waits */
    uint64_t told;       /* when -v told last */
    struct bridge_counts told_counts;
};

static unsigned rx_buffers(unsigned queue_size, uint32_t buffer_size)
{
    size_t most = RX_MEMORY_MAX / buffer_size;

    return queue_size < most ? queue_size : (unsigned)most;
}

static unsigned tx_buffers(unsigned queue_size)
{
    return queue_size < TX_BUFFERS_MAX ? queue_size : TX_BUFFERS_MAX;
}

size_t bridge_memory(unsigned queue_size, uint32_t buffer_size)
{
    size_t bytes;

    queue_size = queue_size ? queue_size : QUEUE_SIZE_DEFAULT;
    bytes = (size_t)rx_buffers(queue_size, buffer_size) * buffer_size +
            (size_t)tx_buffers(queue_size) * TX_STRIDE;
    /* Each of the two begins a page. */
    return (bytes + 2 * PAGE + PAGE - 1) & ~(size_t)(PAGE - 1);
}

/* Of a back end that died the device knows more than its queue. */
static bool device_broken(struct pump *p, const char *why, int code)
{
    struct vhost_error *err = NULL;

    if (vhost_net_dispatch(p->b->net, &err) < 0) {
        out_library_error(err);
    } else {
        out_error("%s: %s", p->b->uri, why ? why : strerror(-code));
    }
    return false;
}

static bool tap_broken(const struct pump *p, int error)
{
    if (error == EBADFD || error == ENODEV) {
        out_error("tap %s: it was removed", p->b->tap);
    } else {
        out_error("tap %s: %s", p->b->tap, strerror(error));
    }
    return false;
}

/* The queue ended where it stood, so all that came back goes first again. */
static bool post(struct pump *p)
{
    int n;

    if (p->n_rx_free == 0) {
        return true;
    }
    n = vhost_net_post(p->rx, p->rx_free, p->n_rx_free);
    if (n < 0) {
        return device_broken(p, vhost_net_rx_error(p->rx), n);
    }
    p->n_rx_free -= (unsigned)n;
    memmove(p->rx_free, p->rx_free + n, p->n_rx_free * sizeof(*p->rx_free));
    return true;
}

/* Said to be right, by whoever may not have computed it. */
static bool is_unchecked(const struct virtio_net_hdr_v1 *header)
{
    return (header->flags & VIRTIO_NET_HDR_F_DATA_VALID) &&
           !(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

/* Writes one frame: its packets from the first to one without more. */
static bool write_frame(struct pump *p, const struct vhost_net_packet *packet)
{
    struct bridge_way *way = &p->counts->to_tap;
    struct iovec iov[PARTS_MAX];
    size_t bytes = packet->len;
    int parts = 1;
    ssize_t r;

    /* Without the flag nobody vouches for what is there. */
    if (!(packet->flags & VHOST_NET_PACKET_HEADER)) {
        memset(vhost_net_header(packet), 0, VHOST_NET_HEADER);
    }
    if (is_unchecked(vhost_net_header(packet))) {
        checksum_leave_to_host(vhost_net_header(packet), vhost_net_data(packet),
                               packet->len);
    }
    iov[0].iov_base = vhost_net_header(packet);
    iov[0].iov_len = VHOST_NET_HEADER + packet->len;
    for (; packet->more; parts++) {
        packet++;
        iov[parts].iov_base = vhost_net_data(packet);
        iov[parts].iov_len = packet->len;
        bytes += packet->len;
    }
    do {
        r = writev(p->b->tap_fd, iov, parts);
    } while (r < 0 && errno == EINTR);
    if (r < 0 && (errno == EBADFD || errno == ENODEV)) {
        return tap_broken(p, errno);
    }
    if (r < 0) {
        way->dropped++;
        return true;
    }
    way->frames++;
    way->bytes += bytes;
    return true;
}

static bool write_frames(struct pump *p, const struct vhost_net_packet *packets,
                         int n)
{
    for (int i = 0; i < n; i++) {
        if ((i == 0 || !packets[i - 1].more) && !write_frame(p, &packets[i])) {
            return false;
        }
    }
    for (int i = 0; i < n; i++) {
        p->rx_free[p->n_rx_free++] = packets[i].buffer;
    }
    return post(p);
}

static bool device_to_tap(struct pump *p)
{
    struct vhost_net_packet packets[PARTS_MAX];

    for (unsigned i = 0; i < BURSTS_PER_TURN; i++) {
        int n = vhost_net_receive(p->rx, packets, PARTS_MAX);

        if (n < 0) {
            return device_broken(p, vhost_net_rx_error(p->rx), n);
        }
        if (n == 0) {
            break;
        }
        if (!write_frames(p, packets, n)) {
            return false;
        }
    }
    return true;
}

static bool reclaim(struct pump *p)
{
    int n = vhost_net_sent(p->tx, p->tx_free + p->n_tx_free,
                           p->tx_buffers - p->n_tx_free);

    if (n < 0) {
        return device_broken(p, vhost_net_tx_error(p->tx), n);
    }
    p->n_tx_free += (unsigned)n;
    return true;
}

/*
 * Reads one frame into a buffer: 1, or 0 if there is none, or negative after a
 * message.
 */
static int read_frame(struct pump *p, struct vhost_net_packet *packet,
                      void *buffer)
{
    struct virtio_net_hdr_v1 *header = buffer;
    ssize_t n;

    do {
        n = read(p->b->tap_fd, buffer, BRIDGE_BUFFER_SIZE);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n < 0) {
        tap_broken(p, errno);
        return -1;
    }
    if (n < VHOST_NET_HEADER + ETHERNET_MIN) {
        p->counts->to_device.dropped++;
        return 0;
    }
    *packet = (struct vhost_net_packet){
        .buffer = buffer,
        .offset = VHOST_NET_HEADER,
        .len = (uint32_t)n - VHOST_NET_HEADER,
        .flags = VHOST_NET_PACKET_HEADER,
    };
    /* The host leaves the number of buffers alone and may say that the data
     * is valid; a driver has to clear both (virtio 1.3, 5.1.6.2.1). */
    header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->num_buffers = 0;
    return 1;
}

/* Sends what was read, all of it: there are no more buffers than room. */
static bool send_frames(struct pump *p, const struct vhost_net_packet *packets,
                        unsigned n)
{
    struct bridge_way *way = &p->counts->to_device;
    int sent = vhost_net_send(p->tx, packets, n);

    if (sent < 0) {
        return device_broken(p, vhost_net_tx_error(p->tx), sent);
    }
    for (unsigned i = 0; i < n; i++) {
        if (i < (unsigned)sent) {
            way->frames++;
            way->bytes += packets[i].len;
        } else {
            way->dropped++;
            p->tx_free[p->n_tx_free++] = packets[i].buffer;
        }
    }
    return true;
}

static bool tap_to_device(struct pump *p)
{
    for (unsigned i = 0; i < BURSTS_PER_TURN; i++) {
        struct vhost_net_packet packets[BURST];
        unsigned n = 0;
        int r = 1;

        if (!reclaim(p)) {
            return false;
        }
        while (n < BURST && p->n_tx_free > 0) {
            r = read_frame(p, &packets[n], p->tx_free[p->n_tx_free - 1]);
            if (r <= 0) {
                break;
            }
            p->n_tx_free--;
            n++;
        }
        if (r < 0 || (n > 0 && !send_frames(p, packets, n))) {
            return false;
        }
        if (n < BURST) {
            break;
        }
    }
    p->tx_starved = p->n_tx_free == 0;
    return true;
}

static bool poll_failed(void)
{
    out_error("poll: %s", strerror(errno));
    return false;
}

static bool wait_for_work(struct pump *p)
{
    struct pollfd fds[N_POLLS] = {
        [POLL_TAP] = { .fd = p->tx_starved ? -1 : p->b->tap_fd,
                       .events = POLLIN },
        [POLL_CONTROL] = { .fd = vhost_net_get_fd(p->b->net),
                           .events = POLLIN },
        [POLL_RX] = { .fd = vhost_net_rx_fd(p->rx), .events = POLLIN },
        [POLL_TX] = { .fd = p->tx_starved ? vhost_net_tx_fd(p->tx) : -1,
                      .events = POLLIN },
    };
    struct vhost_error *err = NULL;
    int n = poll(fds, N_POLLS, SLICE_MS);

    if (n < 0) {
        /* Then revents are not written. */
        return errno == EINTR || poll_failed();
    }
    if ((n == 0 || fds[POLL_CONTROL].revents != 0) &&
        vhost_net_dispatch(p->b->net, &err) < 0) {
        out_library_error(err);
        return false;
    }
    /* An interface that is gone is no longer read, but says so here. */
    if (fds[POLL_TAP].revents & (POLLERR | POLLNVAL)) {
        return tap_broken(p, EBADFD);
    }
    return true;
}

static void tell(struct pump *p)
{
    const struct bridge_counts *c = p->counts;
    uint64_t now = system_now();

    if (now - p->told < SECOND || memcmp(c, &p->told_counts, sizeof(*c)) == 0) {
        return;
    }
    out_error("%s: %llu frames to it, %llu from it; %llu and %llu dropped",
              p->b->uri, (unsigned long long)c->to_device.frames,
              (unsigned long long)c->to_tap.frames,
              (unsigned long long)c->to_device.dropped,
              (unsigned long long)c->to_tap.dropped);
    p->told = now;
    p->told_counts = *c;
}

static bool fill(struct pump *p, void ***itemsp, unsigned n, size_t size)
{
    char *memory = vhost_net_alloc(p->b->net, n * size);
    void **items = calloc(n, sizeof(*items));

    if (!memory || !items) {
        free(items);
        out_error("out of memory");
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        items[i] = memory + i * size;
    }
    *itemsp = items;
    return true;
}

static bool setup(struct pump *p)
{
    struct vhost_net_info info;

    vhost_net_get_info(p->b->net, &info);
    p->rx = vhost_net_get_rx(p->b->net, 0);
    p->tx = vhost_net_get_tx(p->b->net, 0);
    p->n_rx_free = rx_buffers(info.queue_size, info.buffer_size);
    p->tx_buffers = tx_buffers(info.queue_size);
    p->n_tx_free = p->tx_buffers;
    return fill(p, &p->rx_free, p->n_rx_free, info.buffer_size) &&
           fill(p, &p->tx_free, p->n_tx_free, TX_STRIDE) && post(p);
}

bool bridge_run(const struct bridge *b, struct bridge_counts *counts)
{
    struct pump p = { .b = b, .counts = counts };
    struct vhost_net_info info;
    bool ok = setup(&p);

    while (ok && !system_interrupted()) {
        ok = wait_for_work(&p) && device_to_tap(&p) && tap_to_device(&p);
        if (ok && b->verbose) {
            tell(&p);
        }
    }
    vhost_net_get_info(b->net, &info);
    counts->lost = info.frames_lost;
    /* The memory itself goes with the device, which may still use it. */
    free(p.rx_free);
    free(p.tx_free);
    return ok;
}

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "futex.h"
#include "spin.h"

/* How much of `wanted` a ring has for one end: waits, spinning or asleep, until there is something. */
static uint32_t ring_await(const struct lane *lane, bool writing, size_t wanted, uint64_t deadline_ticks)
{
    struct spin spin = {.deadline_ticks = deadline_ticks};
    uint32_t there = 0;
    while (there == 0 && !spin_is_over(&spin)) {
        there = atomic_load_explicit(&lane->written, memory_order_acquire) -
                atomic_load_explicit(&lane->taken, memory_order_acquire);
        there = writing ? CHANNEL_RING_BYTES - there : there;
    }
    return wanted < there ? (uint32_t)wanted : there;
}

/* Copies into the ring or out of it, in as many pieces as it takes. */
static bool ring_move(struct lane *lane, bool writing, char *bytes, size_t count, uint64_t deadline_ticks)
{
    _Atomic uint32_t *own = writing ? &lane->written : &lane->taken;
    while (count > 0) {
        uint32_t piece = ring_await(lane, writing, count, deadline_ticks), at = atomic_load(own);
        if (piece == 0)
            return false;
        uint32_t until_end = CHANNEL_RING_BYTES - at % CHANNEL_RING_BYTES;
        piece = piece < until_end ? piece : until_end;
        char *place = lane->bytes + at % CHANNEL_RING_BYTES;
        memcpy(writing ? place : bytes, writing ? bytes : place, piece);
        atomic_store_explicit(own, at + piece, memory_order_release);
        bytes += piece;
        count -= piece;
    }
    return true;
}

/* Reads or writes all of it; a watchdog's signal ends the call with EINTR once the time is over. */
static bool file_move(int file, bool writing, char *bytes, size_t count, uint64_t deadline_ticks)
{
    while (count > 0) {
        ssize_t moved = writing ? write(file, bytes, count) : read(file, bytes, count);
        if (moved > 0) {
            bytes += moved;
            count -= (size_t)moved;
        } else if (moved == 0 || errno != EINTR || ticks_now() > deadline_ticks) {
            return false;
        }
    }
    return true;
}

static bool futex_send(struct lane *lane, const void *bytes, size_t count)
{
    memcpy(lane->bytes, bytes, count);
    atomic_fetch_add_explicit(&lane->written, 1, memory_order_release);
    return futex_wake(&lane->written) >= 0;
}

static bool futex_receive(struct lane *lane, void *bytes, size_t count, uint64_t deadline_ticks)
{
    uint32_t taken = atomic_load_explicit(&lane->taken, memory_order_relaxed);
    while (atomic_load_explicit(&lane->written, memory_order_acquire) == taken) {
        if (ticks_now() > deadline_ticks)
            return false;
        futex_wait(&lane->written, taken);
    }
    memcpy(bytes, lane->bytes, count);
    atomic_store_explicit(&lane->taken, taken + 1, memory_order_release);
    return true;
}

bool channel_send(const struct channel *channel, unsigned end, const void *bytes, size_t count,
                  uint64_t deadline_ticks)
{
    uint64_t signal = 1;
    switch (channel->kind) {
    case CHANNEL_FUTEX:
        return futex_send(&channel->lanes[end], bytes, count);
    case CHANNEL_SHM_RING:
        return ring_move(&channel->lanes[end], true, (char *)bytes, count, deadline_ticks);
    case CHANNEL_EVENTFD:
        return file_move(channel->write_fds[end], true, (char *)&signal, sizeof signal, deadline_ticks);
    default:
        return file_move(channel->write_fds[end], true, (char *)bytes, count, deadline_ticks);
    }
}

bool channel_receive(const struct channel *channel, unsigned end, void *bytes, size_t count,
                     uint64_t deadline_ticks)
{
    uint64_t signal;
    switch (channel->kind) {
    case CHANNEL_FUTEX:
        return futex_receive(&channel->lanes[1 - end], bytes, count, deadline_ticks);
    case CHANNEL_SHM_RING:
        return ring_move(&channel->lanes[1 - end], false, bytes, count, deadline_ticks);
    case CHANNEL_EVENTFD:
        return file_move(channel->read_fds[end], false, (char *)&signal, sizeof signal, deadline_ticks);
    default:
        return file_move(channel->read_fds[end], false, bytes, count, deadline_ticks);
    }
}

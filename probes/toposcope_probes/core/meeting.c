#include "meeting.h"

#include "spin.h"
#include "ticks.h"

#define NO_CALL 0u
#define NO_MORE_CALLS UINT64_MAX

static uint64_t pack(const struct call *call)
{
    return (uint64_t)call->number << 32 | (uint64_t)call->line << 24 | call->round_trips;
}

static struct call unpack(uint64_t word)
{
    return (struct call){.number = (uint32_t)(word >> 32),
                         .line = (uint32_t)(word >> 24 & 0xff),
                         .round_trips = (uint32_t)(word & 0xffffff)};
}

void meeting_clear(struct meeting *meeting)
{
    size_t used = (size_t)atomic_load(&meeting->answered) + 1;
    for (size_t number = 0; number < used; number++)
        atomic_store_explicit(&meeting->outcomes[number], 0, memory_order_relaxed);
    atomic_store(&meeting->call, NO_CALL);
    atomic_store(&meeting->answered, 0);
}

struct meeter meeter_begin(struct meeting *meeting, const struct member *member)
{
    return (struct meeter){.meeting = meeting, .member = member, .guard = guard_take()};
}

static bool is_answered(struct meeting *meeting, uint32_t number)
{
    struct spin spin = spin_for_ns(MEET_NS);
    while (atomic_load_explicit(&meeting->answered, memory_order_acquire) != number)
        if (spin_is_over(&spin))
            return false;
    return true;
}

bool meeting_call(struct meeter *meeter, struct call *call)
{
    struct meeting *meeting = meeter->meeting;
    unsigned misses = 0;
    while (meeter->number + 1 < CALLS_MAX && ticks_now() < meeter->member->deadline_ticks) {
        call->number = ++meeter->number;
        atomic_store_explicit(&meeting->call, pack(call), memory_order_release);
        if (is_answered(meeting, call->number))
            return true;
        atomic_store_explicit(&meeting->call, NO_CALL, memory_order_release);
        meeter->missed++;
        nap_after_miss(&misses);
        meeter->guard = guard_take();
    }
    return false;
}

void meeting_end(struct meeter *meeter)
{
    atomic_store_explicit(&meeter->meeting->call, NO_MORE_CALLS, memory_order_release);
}

bool meeting_answer(struct meeter *meeter, struct call *call)
{
    struct meeting *meeting = meeter->meeting;
    struct spin spin = spin_for_ns(MEET_NS);
    unsigned misses = 0;
    for (;;) {
        uint64_t word = atomic_load_explicit(&meeting->call, memory_order_acquire);
        if (word == NO_MORE_CALLS)
            return false;
        *call = unpack(word);
        if (word != NO_CALL && call->number != meeter->number)
            break;
        if (!spin_is_over(&spin))
            continue;
        if (ticks_now() > meeter->member->deadline_ticks)
            return false;
        nap_after_miss(&misses);
        meeter->guard = guard_take();
        spin = spin_for_ns(MEET_NS);
    }
    meeter->number = call->number;
    atomic_store_explicit(&meeting->answered, call->number, memory_order_release);
    return true;
}

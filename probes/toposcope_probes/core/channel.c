#include "channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crew.h"

const char *const channel_names[] = {"pipe", "unix", "tcp", "eventfd", "futex", "shm_ring", NULL};

static bool open_pipes(struct channel *channel)
{
    int there[2], back[2];
    if (pipe(there) != 0)
        return false;
    channel->read_fds[1] = there[0], channel->write_fds[0] = there[1];
    if (pipe(back) != 0)
        return false;
    channel->read_fds[0] = back[0], channel->write_fds[1] = back[1];
    return true;
}

static bool open_eventfds(struct channel *channel)
{
    channel->write_fds[0] = channel->read_fds[1] = eventfd(0, 0);
    channel->write_fds[1] = channel->read_fds[0] = eventfd(0, 0);
    return channel->read_fds[0] >= 0 && channel->read_fds[1] >= 0;
}

static void use_sockets(struct channel *channel, int one, int other)
{
    channel->read_fds[0] = channel->write_fds[0] = one;
    channel->read_fds[1] = channel->write_fds[1] = other;
}

static bool open_unix(struct channel *channel)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return false;
    use_sockets(channel, ends[0], ends[1]);
    return true;
}

static bool open_tcp(struct channel *channel)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *plain = (struct sockaddr *)(void *)&address;
    socklen_t length = sizeof address;
    int yes = 1, listening = socket(AF_INET, SOCK_STREAM, 0), one = socket(AF_INET, SOCK_STREAM, 0), other = -1;
    if (listening >= 0 && one >= 0 && bind(listening, plain, length) == 0 && listen(listening, 1) == 0 &&
        getsockname(listening, plain, &length) == 0 && connect(one, plain, length) == 0)
        other = accept(listening, NULL, NULL);
    int error = errno;
    if (listening >= 0)
        close(listening);
    use_sockets(channel, one, other);
    if (other >= 0 && setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0 &&
        setsockopt(other, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0)
        return true;
    errno = other >= 0 ? errno : error;
    return false;
}

bool channel_open(struct channel *channel, struct result *result)
{
    bool is_open = true;
    for (unsigned end = 0; end < 2; end++)
        channel->read_fds[end] = channel->write_fds[end] = -1;
    channel->lanes = NULL;
    switch (channel->kind) {
    case CHANNEL_PIPE:
        is_open = open_pipes(channel);
        break;
    case CHANNEL_UNIX:
        is_open = open_unix(channel);
        break;
    case CHANNEL_TCP:
        is_open = open_tcp(channel);
        break;
    case CHANNEL_EVENTFD:
        is_open = open_eventfds(channel);
        break;
    case CHANNEL_FUTEX:
    case CHANNEL_SHM_RING:
        channel->lanes = shared_map(2 * sizeof *channel->lanes);
        break;
    }
    if (!is_open) {
        result_refuse(result, STATUS_NOT_APPLICABLE, "%s: %s", channel_names[channel->kind], strerror(errno));
        channel_close(channel);
    }
    return is_open;
}

void channel_close(struct channel *channel)
{
    for (unsigned end = 0; end < 2; end++) {
        if (channel->read_fds[end] >= 0)
            close(channel->read_fds[end]);
        if (channel->kind == CHANNEL_PIPE && channel->write_fds[end] >= 0)
            close(channel->write_fds[end]); /* elsewhere both names stand for one descriptor or its peer's */
    }
    if (channel->lanes != NULL)
        shared_unmap(channel->lanes, 2 * sizeof *channel->lanes);
}

bool channel_sleeps(const struct channel *channel)
{
    return channel->kind != CHANNEL_SHM_RING;
}

bool channel_carries_bulk(const struct channel *channel)
{
    return channel->kind != CHANNEL_EVENTFD && channel->kind != CHANNEL_FUTEX;
}

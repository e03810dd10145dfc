/* Sends one request again and again at a constant rate, whether answers come or not (an open loop):
 *
 *     pace PORT REQUEST RATE SECONDS CONNECTIONS > LATENCIES
 *
 * REQUEST is a file with the whole of it, head and body. Request i is due at begin + i / RATE; it goes out
 * on a connection that is free, or waits for one. Its latency counts from when it was due, so that a server
 * that stalls is charged for all that should have been sent meanwhile (no coordinated omission). Written are
 * two doubles a request, in seconds: by how much it was sent later than it could have been, being due and a
 * connection being free, which is the error of this program; and from due to the last byte of the answer, which
 * is NaN if there was none or its status was not 2xx. One thread; it sleeps in epoll_pwait2 with the finest
 * timer slack instead of spinning, so that it takes no core from the server, and goes before other processes
 * where it may (SCHED_FIFO), as if it were another machine.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 256, ROOM = 1 << 20 };
static const double PATIENCE = 5; /* seconds for what is unanswered in the end */

static struct connection {
    int socket;
    long request; /* the one it waits for, or -1 */
    double free;  /* since when it waits for none */
    size_t filled;
    char answer[ROOM + 1];
} connections[MOST];

static struct sockaddr_in server;
static int events;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void fail(const char *why) {
    perror(why);
    exit(1);
}

static void open_connection(struct connection *c) {
    int on = 1;
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->socket, (struct sockaddr *)&server, sizeof server)) fail("connect");
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(events, EPOLL_CTL_ADD, c->socket, &event)) fail("epoll_ctl");
    c->request = -1;
    c->free = now();
    c->filled = 0;
}

/* Returns 1 if the answer is whole and good, 0 if more is to come, -1 if it is not good. */
static int answered(struct connection *c) {
    c->answer[c->filled] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    long length = -1;
    for (char *line = c->answer; line < end; line = strstr(line, "\r\n") + 2)
        if (!strncasecmp(line, "content-length:", 15)) length = atol(line + 15);
    if (length < 0) return -1;
    if (c->filled < (size_t)(end + 4 - c->answer) + length) return 0;
    return strncmp(c->answer + 9, "2", 1) ? -1 : 1;
}

int main(int count, char **given) {
    if (count != 6) return 2;
    double rate = atof(given[3]);
    long requests = rate * atof(given[4]), next = 0, left = requests;
    int wide = atoi(given[5]);
    FILE *file = fopen(given[2], "rb");
    static char request[ROOM];
    size_t size = file ? fread(request, 1, ROOM, file) : 0;
    double *told = malloc(requests * 2 * sizeof *told);
    if (!size || !told || wide < 1 || wide > MOST) return 2;
    for (long i = 0; i < requests * 2; i++) told[i] = NAN;

    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}); /* or not */
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(given[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    events = epoll_create1(0);
    for (int i = 0; i < wide; i++) open_connection(&connections[i]);

    double begin = now() + 0.01, last = begin + requests / rate + PATIENCE;
    while (left) {
        double time = now();
        if (time > last) break;
        /* What is due goes out, where there is a connection for it. */
        for (int i = 0; i < wide && next < requests && begin + next / rate <= time; i++) {
            struct connection *c = &connections[i];
            if (c->request >= 0) continue;
            double due = begin + next / rate;
            told[2 * next] = (time = now()) - fmax(due, c->free);
            if (write(c->socket, request, size) != (ssize_t)size) fail("write");
            c->request = next++;
        }
        int busy = 0;
        for (int i = 0; i < wide; i++) busy += connections[i].request >= 0;
        double until = next < requests && busy < wide ? begin + next / rate : last;
        double wait = fmax(0, until - now());
        struct timespec most = {.tv_sec = wait, .tv_nsec = fmod(wait, 1) * 1e9};
        struct epoll_event ready[MOST];
        int found = epoll_pwait2(events, ready, MOST, &most, NULL);
        for (int i = 0; i < found; i++) {
            struct connection *c = ready[i].data.ptr;
            ssize_t got = read(c->socket, c->answer + c->filled, ROOM - c->filled);
            if (got > 0) c->filled += got;
            int state = got > 0 ? answered(c) : -1;
            if (!state) continue;
            c->free = now();
            if (c->request >= 0) {
                if (state > 0) told[2 * c->request + 1] = c->free - (begin + c->request / rate);
                left--;
            }
            c->request = -1;
            c->filled = 0;
            if (state < 0) { /* the server has closed it, or it cannot be told where the answer ends */
                close(c->socket);
                open_connection(c);
            }
        }
    }
    return fwrite(told, sizeof *told, requests * 2, stdout) != (size_t)requests * 2;
}

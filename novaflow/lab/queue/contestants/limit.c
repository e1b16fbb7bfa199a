/* The limit: what a client with nearly no cost of its own gets out of a broker.

   librabbitmq connects, authenticates and declares. From then on frames are written and read here, many to one system call,
   with every message still acknowledged, and every cast confirmed, on its own. JSON is neither made nor parsed: a body is as
   long as everybody's, begins with the number of its message, and a call is answered with the bytes that came.

   Roles, options, output and the board are those of protocol.py beside this file.
   Build: cc -O2 -o limit limit.c -lrabbitmq */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_include) && __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

enum { CHANNEL = 1, FRAME_MAX = 131072, FRAME_OVERHEAD = 8, UNSUPPORTED = 3, PATIENCE = 10, MOST_BOARDS = 64 };
enum { METHOD_FRAME = 1, HEADER_FRAME = 2, BODY_FRAME = 3, HEARTBEAT_FRAME = 8, FRAME_END = 0xCE };

/* Class and method of a method frame, as its first four bytes hold them (AMQP 0-9-1). */
enum {
    CONNECTION_CLOSE = 10 << 16 | 50,
    CHANNEL_CLOSE = 20 << 16 | 40,
    BASIC_CONSUME = 60 << 16 | 20,
    BASIC_CONSUME_OK = 60 << 16 | 21,
    BASIC_PUBLISH = 60 << 16 | 40,
    BASIC_DELIVER = 60 << 16 | 60,
    BASIC_ACK = 60 << 16 | 80,
    BASIC_NACK = 60 << 16 | 120,
};

/* Which properties a content header carries, in the order they stand in it. */
enum {
    HAS_CONTENT_TYPE = 0x8000,
    HAS_CONTENT_ENCODING = 0x4000,
    HAS_HEADERS = 0x2000,
    HAS_DELIVERY_MODE = 0x1000,
    HAS_PRIORITY = 0x0800,
    HAS_CORRELATION_ID = 0x0400,
    HAS_REPLY_TO = 0x0200,
};

static void fail(int status, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

static void fail(int status, const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("limit: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(status);
}

static void *room_for(void *old, size_t size) {
    void *new = realloc(old, size ? size : 1);
    if (new == NULL) fail(1, "no memory for %zu bytes", size);
    return new;
}

/* ----------------------------------------------------------------------------------------------------------- the order */

struct order {
    bool is_server;
    const char *url, *queue, *operation;
    bool durable, quorum;
    int prefetch;
    long in_flight, messages;
    size_t *sizes, size_count;
    const char *boards[MOST_BOARDS];
    int board_count;
};

static long positive(const char *text, const char *name) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 1) fail(2, "%s: %s is not a whole number above 0", name, text);
    return value;
}

/* The sizes in a JSON list of whole numbers. */
static void read_sizes(struct order *order, const char *path) {
    FILE *file = fopen(path, "r");
    if (file == NULL) fail(2, "%s: %s", path, strerror(errno));
    if (fscanf(file, " [") != 0) fail(2, "%s cannot be read", path);
    unsigned long size;
    char after = ',';
    while (after == ',' && fscanf(file, "%lu %c", &size, &after) == 2) {
        order->sizes = room_for(order->sizes, (order->size_count + 1) * sizeof *order->sizes);
        order->sizes[order->size_count++] = size;
    }
    fclose(file);
    if (after != ']' || order->size_count == 0) fail(2, "%s is not a JSON list of sizes in bytes", path);
}

static void set_durability(struct order *order, const char *name) {
    order->quorum = strcmp(name, "quorum") == 0;
    order->durable = order->quorum || strcmp(name, "durable") == 0;
    if (!order->durable && strcmp(name, "transient") != 0) fail(2, "--durability: %s is not known", name);
}

static void set_option(struct order *order, int option, const char *value) {
    switch (option) {
    case 'u': order->url = value; break;
    case 'q': order->queue = value; break;
    case 'o': order->operation = value; break;
    case 'd': set_durability(order, value); break;
    case 'p': order->prefetch = (int)positive(value, "--prefetch"); break;
    case 'k': order->in_flight = positive(value, "--in-flight"); break;
    case 'n': order->messages = positive(value, "--messages"); break;
    case 's': read_sizes(order, value); break;
    case 'b':
        if (order->board_count == MOST_BOARDS) fail(2, "more than %d boards", MOST_BOARDS);
        order->boards[order->board_count++] = value;
        break;
    default: fail(2, "usage: limit server|client OPTIONS, as protocol.py says");
    }
}

static struct order read_order(int count, char **arguments) {
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},       {"queue", required_argument, NULL, 'q'},
        {"durability", required_argument, NULL, 'd'}, {"prefetch", required_argument, NULL, 'p'},
        {"board", required_argument, NULL, 'b'},     {"op", required_argument, NULL, 'o'},
        {"in-flight", required_argument, NULL, 'k'}, {"messages", required_argument, NULL, 'n'},
        {"sizes", required_argument, NULL, 's'},     {NULL, 0, NULL, 0},
    };
    struct order order = {.prefetch = 256, .in_flight = 1};
    if (count < 2) fail(2, "server or client?");
    order.is_server = strcmp(arguments[1], "server") == 0;
    if (!order.is_server && strcmp(arguments[1], "client") != 0) fail(2, "server or client, not %s", arguments[1]);
    optind = 2;
    for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) set_option(&order, option, optarg);
    if (order.url == NULL || order.queue == NULL || order.board_count == 0) fail(2, "--url, --queue and --board are needed");
    if (strlen(order.queue) > 200) fail(2, "--queue: longer than 200 bytes");
    if (!order.is_server && (order.operation == NULL || order.messages == 0 || order.sizes == NULL))
        fail(2, "a client needs --op, --messages and --sizes");
    return order;
}

/* ----------------------------------------------------------------------------------------------------------- the board */

struct board {
    uint8_t *bytes;
    size_t length;
    size_t full_to; /* no zero below this */
};

static struct board open_board(const char *path) {
    struct stat facts;
    int file = open(path, O_RDWR);
    if (file < 0 || fstat(file, &facts) != 0) fail(2, "%s: %s", path, strerror(errno));
    if (facts.st_size < 8) fail(2, "%s is too short for a board", path);
    struct board board = {.length = (size_t)facts.st_size, .full_to = 8};
    board.bytes = mmap(NULL, board.length, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (board.bytes == MAP_FAILED) fail(1, "%s: %s", path, strerror(errno));
    close(file);
    return board;
}

static uint64_t board_total(const struct board *board) {
    uint64_t total = 0;
    for (int place = 7; place >= 0; place--) total = total << 8 | board->bytes[place];
    return total;
}

/* Warm-ups (-1) and numbers that the board has no room for do not count. */
static void board_count(struct board *board, long number) {
    if (number < 0 || (size_t)number >= board->length - 8) return;
    uint64_t total = board_total(board) + 1;
    for (int place = 0; place < 8; place++) board->bytes[place] = (uint8_t)(total >> 8 * place);
    uint8_t *times = board->bytes + 8 + number;
    if (*times < 255) ++*times;
}

static bool board_is_full(struct board *board) {
    uint8_t *missing = memchr(board->bytes + board->full_to, 0, board->length - board->full_to);
    board->full_to = missing == NULL ? board->length : (size_t)(missing - board->bytes);
    return missing == NULL;
}

/* -------------------------------------------------------------------------------------------------------- bytes to send */

struct buffer {
    uint8_t *bytes;
    size_t length, room;
};

static uint8_t *extend(struct buffer *buffer, size_t by) {
    if (buffer->length + by > buffer->room) {
        buffer->room = 2 * (buffer->length + by);
        buffer->bytes = room_for(buffer->bytes, buffer->room);
    }
    buffer->length += by;
    return buffer->bytes + buffer->length - by;
}

static void put_number(struct buffer *buffer, uint64_t value, int width) {
    uint8_t *place = extend(buffer, (size_t)width);
    for (int index = width - 1; index >= 0; index--, value >>= 8) place[index] = (uint8_t)value;
}

static void put_bytes(struct buffer *buffer, const void *bytes, size_t length) {
    if (length > 0) memcpy(extend(buffer, length), bytes, length);
}

/* A text of up to 255 bytes, as AMQP's "short string". */
struct text {
    uint8_t length;
    uint8_t bytes[256]; /* room for an end of string */
};

static struct text text_of(const char *string) {
    struct text text = {.length = (uint8_t)strlen(string)};
    memcpy(text.bytes, string, text.length);
    return text;
}

static void put_text(struct buffer *buffer, const struct text *text) {
    put_number(buffer, text->length, 1);
    put_bytes(buffer, text->bytes, text->length);
}

static size_t begin_frame(struct buffer *buffer, int type) {
    put_number(buffer, (uint64_t)type, 1);
    put_number(buffer, CHANNEL, 2);
    put_number(buffer, 0, 4); /* the length, when it is known */
    return buffer->length;
}

static void end_frame(struct buffer *buffer, size_t begin) {
    uint32_t length = htonl((uint32_t)(buffer->length - begin));
    memcpy(buffer->bytes + begin - 4, &length, 4);
    put_number(buffer, FRAME_END, 1);
}

/* Where a message goes and what it says of itself; no correlation id and no reply queue where these are empty. */
struct envelope {
    struct text exchange, routing_key, correlation_id, reply_to;
    uint8_t delivery_mode;
};

static void put_header(struct buffer *buffer, const struct envelope *envelope, size_t size) {
    unsigned flags = HAS_DELIVERY_MODE;
    if (envelope->correlation_id.length > 0) flags |= HAS_CORRELATION_ID;
    if (envelope->reply_to.length > 0) flags |= HAS_REPLY_TO;
    size_t begin = begin_frame(buffer, HEADER_FRAME);
    put_number(buffer, 60, 2); /* class basic */
    put_number(buffer, 0, 2);  /* weight, unused */
    put_number(buffer, size, 8);
    put_number(buffer, flags, 2);
    put_number(buffer, envelope->delivery_mode, 1);
    if (flags & HAS_CORRELATION_ID) put_text(buffer, &envelope->correlation_id);
    if (flags & HAS_REPLY_TO) put_text(buffer, &envelope->reply_to);
    end_frame(buffer, begin);
}

static void put_message(struct buffer *buffer, const struct envelope *envelope, const struct buffer *body) {
    size_t begin = begin_frame(buffer, METHOD_FRAME);
    put_number(buffer, BASIC_PUBLISH, 4);
    put_number(buffer, 0, 2); /* reserved */
    put_text(buffer, &envelope->exchange);
    put_text(buffer, &envelope->routing_key);
    put_number(buffer, 0, 1); /* neither mandatory nor immediate */
    end_frame(buffer, begin);
    put_header(buffer, envelope, body->length);
    for (size_t sent = 0, piece; sent < body->length; sent += piece) {
        piece = body->length - sent < FRAME_MAX - FRAME_OVERHEAD ? body->length - sent : FRAME_MAX - FRAME_OVERHEAD;
        begin = begin_frame(buffer, BODY_FRAME);
        put_bytes(buffer, body->bytes + sent, piece);
        end_frame(buffer, begin);
    }
}

static void put_ack(struct buffer *buffer, uint64_t tag) {
    size_t begin = begin_frame(buffer, METHOD_FRAME);
    put_number(buffer, BASIC_ACK, 4);
    put_number(buffer, tag, 8);
    put_number(buffer, 0, 1); /* this one only */
    end_frame(buffer, begin);
}

static void put_consume(struct buffer *buffer, const char *queue, bool acknowledges) {
    struct text name = text_of(queue), tag = {0};
    size_t begin = begin_frame(buffer, METHOD_FRAME);
    put_number(buffer, BASIC_CONSUME, 4);
    put_number(buffer, 0, 2); /* reserved */
    put_text(buffer, &name);
    put_text(buffer, &tag);                      /* the broker chooses one */
    put_number(buffer, acknowledges ? 0 : 2, 1); /* no-local, no-ack, exclusive, no-wait */
    put_number(buffer, 0, 4);                    /* no arguments */
    end_frame(buffer, begin);
}

/* -------------------------------------------------------------------------------------------------------- the connection */

struct link {
    amqp_connection_state_t state;
    int socket;
    struct buffer out;            /* not yet sent */
    uint8_t in[1 << 18];          /* received: two of the longest frames fit */
    size_t in_begin, in_end;      /* not yet read */
    bool timed_out;               /* nothing came for PATIENCE seconds */
};

static void check(struct link *link, const char *what) {
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(link->state);
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) fail(1, "%s: %s", what, amqp_error_string2(reply.library_error));
    /* The reply text stands at the same place in both. */
    amqp_channel_close_t *closed = reply.reply.decoded;
    fail(1, "%s: %.*s", what, (int)closed->reply_text.len, (char *)closed->reply_text.bytes);
}

static void log_in(struct link *link, const struct amqp_connection_info *broker) {
    const char *vhost = broker->vhost[0] == '\0' ? "/" : broker->vhost;
    amqp_rpc_reply_t reply = amqp_login(link->state, vhost, 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, broker->user, broker->password);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) fail(1, "login: %s", amqp_error_string2(reply.library_error));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) fail(1, "login: the broker refused it");
    if (amqp_get_frame_max(link->state) < FRAME_MAX) fail(UNSUPPORTED, "the broker takes no frames of %d bytes", FRAME_MAX);
    amqp_channel_open(link->state, CHANNEL);
    check(link, "open channel");
}

static struct link *connect_to(const char *url) {
    struct link *link = room_for(NULL, sizeof *link);
    memset(link, 0, sizeof *link);
    char *parsed = strdup(url); /* the parser writes into it */
    struct amqp_connection_info broker;
    if (parsed == NULL || amqp_parse_url(parsed, &broker) != AMQP_STATUS_OK) fail(2, "--url is no AMQP address");
    if (broker.ssl) fail(UNSUPPORTED, "no TLS");
    link->state = amqp_new_connection();
    amqp_socket_t *tcp = amqp_tcp_socket_new(link->state);
    if (tcp == NULL) fail(1, "no memory for a socket");
    int status = amqp_socket_open(tcp, broker.host, broker.port);
    if (status != AMQP_STATUS_OK) fail(1, "connect to %s:%d: %s", broker.host, broker.port, amqp_error_string2(status));
    log_in(link, &broker);
    free(parsed);
    return link;
}

/* From here on librabbitmq neither reads nor writes: it has read what it asked for, and nobody sends yet. */
static void take_over(struct link *link, int patience) {
    link->socket = amqp_get_sockfd(link->state);
    int one = 1;
    struct timeval limit = {.tv_sec = patience};
    if (fcntl(link->socket, F_SETFL, fcntl(link->socket, F_GETFL) & ~O_NONBLOCK) != 0 ||
        setsockopt(link->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 ||
        setsockopt(link->socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
        fail(1, "socket: %s", strerror(errno));
}

static void flush_out(struct link *link) {
    for (size_t sent = 0; sent < link->out.length;) {
        ssize_t count = send(link->socket, link->out.bytes + sent, link->out.length - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR) fail(1, "send: %s", strerror(errno));
        if (count > 0) sent += (size_t)count;
    }
    link->out.length = 0;
}

/* Reads what is there, and waits for something if nothing is; false if nothing came in time. */
static bool receive(struct link *link) {
    memmove(link->in, link->in + link->in_begin, link->in_end - link->in_begin);
    link->in_end -= link->in_begin;
    link->in_begin = 0;
    for (;;) {
        ssize_t count = recv(link->socket, link->in + link->in_end, sizeof link->in - link->in_end, 0);
        if (count > 0) {
            link->in_end += (size_t)count;
            return true;
        }
        if (count == 0) fail(1, "the broker closed the connection");
        if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
        if (errno != EINTR) fail(1, "receive: %s", strerror(errno));
    }
}

static uint64_t number_at(const uint8_t *bytes, int width) {
    uint64_t value = 0;
    while (width-- > 0) value = value << 8 | *bytes++;
    return value;
}

struct frame {
    int type;
    const uint8_t *payload; /* valid until the next frame is asked for */
    size_t length;
};

static bool is_method(const struct frame *frame, uint32_t method) {
    return frame->type == METHOD_FRAME && frame->length >= 4 && number_at(frame->payload, 4) == method;
}

/* A complete frame that was received before. */
static bool buffered_frame(struct link *link, struct frame *frame) {
    const uint8_t *begin = link->in + link->in_begin;
    size_t held = link->in_end - link->in_begin;
    if (held < FRAME_OVERHEAD) return false;
    *frame = (struct frame){.type = begin[0], .payload = begin + 7, .length = number_at(begin + 3, 4)};
    if (frame->length > FRAME_MAX) fail(1, "a frame of %zu bytes", frame->length);
    if (held < frame->length + FRAME_OVERHEAD) return false;
    link->in_begin += frame->length + FRAME_OVERHEAD;
    return true;
}

/* The next frame. What waits to be sent is sent before waiting; false, and timed_out, if nothing came in time. */
static bool next_frame(struct link *link, struct frame *frame) {
    while (!buffered_frame(link, frame)) {
        if (link->out.length > 0) flush_out(link);
        if (!receive(link)) {
            link->timed_out = true;
            return false;
        }
    }
    if (is_method(frame, CONNECTION_CLOSE) || is_method(frame, CHANNEL_CLOSE))
        fail(1, "the broker says: %.*s", frame->payload[6], (const char *)frame->payload + 7);
    return true;
}

static void consume(struct link *link, const char *queue, bool acknowledges) {
    struct frame frame;
    put_consume(&link->out, queue, acknowledges);
    do {
        if (!next_frame(link, &frame)) fail(1, "consume %s: no answer", queue);
    } while (!is_method(&frame, BASIC_CONSUME_OK));
}

/* ------------------------------------------------------------------------------------------------------------- messages */

/* A delivery as its frames come in. */
struct message {
    uint64_t tag;
    struct text correlation_id, reply_to;
    uint64_t size;
    struct buffer body;
};

static const uint8_t *read_text(struct text *text, const uint8_t *from) {
    text->length = *from++;
    memcpy(text->bytes, from, text->length);
    return from + text->length;
}

static void read_header(struct message *message, const uint8_t *from) {
    struct text ignored;
    unsigned flags = (unsigned)number_at(from + 12, 2);
    message->size = number_at(from + 4, 8);
    message->body.length = 0;
    message->correlation_id.length = message->reply_to.length = 0;
    from += 14;
    if (flags & HAS_CONTENT_TYPE) from = read_text(&ignored, from);
    if (flags & HAS_CONTENT_ENCODING) from = read_text(&ignored, from);
    if (flags & HAS_HEADERS) from += 4 + number_at(from, 4);
    if (flags & HAS_DELIVERY_MODE) from++;
    if (flags & HAS_PRIORITY) from++;
    if (flags & HAS_CORRELATION_ID) from = read_text(&message->correlation_id, from);
    if (flags & HAS_REPLY_TO) read_text(&message->reply_to, from);
}

/* Takes one frame; true when it completes the message. */
static bool take_frame(struct message *message, const struct frame *frame) {
    if (is_method(frame, BASIC_DELIVER)) {
        message->tag = number_at(frame->payload + 5 + frame->payload[4], 8); /* behind the consumer's tag */
        return false;
    }
    if (frame->type == HEADER_FRAME) {
        read_header(message, frame->payload);
        return message->size == 0;
    }
    if (frame->type != BODY_FRAME) return false;
    put_bytes(&message->body, frame->payload, frame->length);
    return message->body.length >= message->size;
}

static const char NUMBER[] = "{\"number\":";

/* The number that a body begins with; -1 if it begins otherwise. */
static long number_of(struct buffer *body) {
    *extend(body, 1) = '\0'; /* for strtol */
    body->length--;
    if (strncmp((char *)body->bytes, NUMBER, sizeof NUMBER - 1) != 0) return -1;
    return strtol((char *)body->bytes + sizeof NUMBER - 1, NULL, 10);
}

/* A JSON object of this size with this number, padded. */
static void write_body(struct buffer *body, long number, size_t size) {
    char begin[64];
    int length = snprintf(begin, sizeof begin, "%s%ld,\"pad\":\"", NUMBER, number);
    size_t padding = size > (size_t)length + 2 ? size - (size_t)length - 2 : 0;
    body->length = 0;
    put_bytes(body, begin, (size_t)length);
    memset(extend(body, padding), 'x', padding);
    put_bytes(body, "\"}", 2);
}

/* --------------------------------------------------------------------------------------------------------------- server */

static void declare_queue(struct link *link, const struct order *order) {
    amqp_table_entry_t kind = {.key = amqp_cstring_bytes("x-queue-type"), .value = {.kind = AMQP_FIELD_KIND_UTF8}};
    kind.value.value.bytes = amqp_cstring_bytes("quorum");
    amqp_table_t arguments = {.num_entries = 1, .entries = &kind};
    amqp_queue_declare(link->state, CHANNEL, amqp_cstring_bytes(order->queue), 0, order->durable, 0, 0,
                       order->quorum ? arguments : amqp_empty_table);
    check(link, "declare queue");
}

/* A queue of this connection's own, with a name of the broker's choice. */
static char *declare_own_queue(struct link *link) {
    amqp_queue_declare_ok_t *made = amqp_queue_declare(link->state, CHANNEL, amqp_empty_bytes, 0, 0, 1, 1, amqp_empty_table);
    check(link, "declare own queue");
    char *name = strndup(made->queue.bytes, made->queue.len);
    if (name == NULL) fail(1, "no memory for a name");
    return name;
}

static struct text fanout_exchange(const struct order *order) {
    char name[256];
    snprintf(name, sizeof name, "%.240s_fanout", order->queue);
    return text_of(name);
}

static void declare_exchange(struct link *link, const struct text *name) {
    amqp_bytes_t exchange = {.len = name->length, .bytes = (void *)name->bytes};
    amqp_exchange_declare(link->state, CHANNEL, exchange, amqp_cstring_bytes("fanout"), 0, 0, 1, 0, amqp_empty_table);
    check(link, "declare exchange");
}

static char *hear_fanout(struct link *link, const struct order *order) {
    struct text name = fanout_exchange(order);
    amqp_bytes_t exchange = {.len = name.length, .bytes = name.bytes};
    declare_exchange(link, &name);
    char *queue = declare_own_queue(link);
    amqp_queue_bind(link->state, CHANNEL, amqp_cstring_bytes(queue), exchange, amqp_empty_bytes, amqp_empty_table);
    check(link, "bind");
    return queue;
}

static void handle(struct link *link, struct message *message, struct board *board) {
    board_count(board, number_of(&message->body));
    if (message->reply_to.length > 0) {
        struct envelope reply = {.routing_key = message->reply_to, .correlation_id = message->correlation_id, .delivery_mode = 1};
        put_message(&link->out, &reply, &message->body);
    }
    put_ack(&link->out, message->tag);
    if (link->out.length > sizeof link->in) flush_out(link);
}

/* The broker frees what an ended connection held, and the board is in the kernel's hands: nothing is left to do. */
static void end_at_once(int signal) {
    (void)signal;
    _exit(0);
}

static void serve(const struct order *order) {
    struct board board = open_board(order->boards[0]);
    struct link *link = connect_to(order->url);
    struct message message = {0};
    struct frame frame;
    declare_queue(link, order);
    char *fanout_queue = hear_fanout(link, order);
    amqp_basic_qos(link->state, CHANNEL, 0, (uint16_t)(order->prefetch > UINT16_MAX ? UINT16_MAX : order->prefetch), 0);
    check(link, "set prefetch");
    take_over(link, 0);
    consume(link, fanout_queue, true);
    /* Deliveries may come before the consumer is confirmed, so this one is not waited for. */
    put_consume(&link->out, order->queue, true);
    flush_out(link);
    signal(SIGTERM, end_at_once);
    puts("ready");
    fflush(stdout);
    while (next_frame(link, &frame))
        if (take_frame(&message, &frame)) handle(link, &message, &board);
}

/* --------------------------------------------------------------------------------------------------------------- client */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double cpu_used(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

/* One pass of messages: the warm-up, or the measured one. Times in seconds. */
struct pass {
    long messages, sent;
    bool counted;
    double began, latest; /* when the last answer came */
    double *sent_at, *latencies;
    long answered, failed;
    struct buffer body;
};

static struct pass new_pass(long messages, bool counted) {
    struct pass pass = {.messages = messages, .counted = counted, .began = now()};
    pass.latest = pass.began;
    pass.sent_at = room_for(NULL, (size_t)messages * sizeof(double));
    pass.latencies = room_for(NULL, (size_t)messages * sizeof(double));
    return pass;
}

static void free_pass(struct pass *pass) {
    free(pass->sent_at);
    free(pass->latencies);
    free(pass->body.bytes);
}

static void send_next(struct link *link, const struct order *order, struct pass *pass, const struct envelope *envelope) {
    long index = pass->sent++;
    write_body(&pass->body, pass->counted ? index : -1, order->sizes[(size_t)index % order->size_count]);
    pass->sent_at[index] = now();
    put_message(&link->out, envelope, &pass->body);
}

static void note_answer(struct pass *pass, long index, double when, bool good) {
    pass->latest = when;
    if (good)
        pass->latencies[pass->answered++] = when - pass->sent_at[index];
    else
        pass->failed++;
}

static bool under_way(const struct pass *pass) { return pass->answered + pass->failed < pass->messages; }

/* Calls. The index of a message is the correlation id of its call. */
static void call_all(struct link *link, const struct order *order, struct pass *pass, struct envelope *envelope) {
    struct message reply = {0};
    struct frame frame;
    while (under_way(pass)) {
        while (pass->sent < pass->messages && pass->sent - pass->answered - pass->failed < order->in_flight) {
            envelope->correlation_id.length = (uint8_t)snprintf((char *)envelope->correlation_id.bytes, 32, "%lx", pass->sent);
            send_next(link, order, pass, envelope);
        }
        if (!next_frame(link, &frame)) break;
        if (!take_frame(&reply, &frame)) continue;
        reply.correlation_id.bytes[reply.correlation_id.length] = '\0';
        long index = strtol((char *)reply.correlation_id.bytes, NULL, 16);
        if (index < 0 || index >= pass->sent) fail(1, "a reply to a call that was not made");
        note_answer(pass, index, now(), number_of(&reply.body) == (pass->counted ? index : -1));
    }
    free(reply.body.bytes);
}

/* Which messages of a channel's count the broker has confirmed or refused. */
struct confirms {
    uint64_t before; /* messages of earlier passes */
    bool *settled;
    long lowest; /* all below are settled */
};

static void settle(struct confirms *confirms, struct pass *pass, const struct frame *frame) {
    bool good = is_method(frame, BASIC_ACK);
    if (frame->length < 13 || (!good && !is_method(frame, BASIC_NACK))) return;
    double when = now();
    long last = (long)(number_at(frame->payload + 4, 8) - confirms->before) - 1; /* the broker counts from 1 */
    if (last < 0 || last >= pass->sent) fail(1, "a confirm of a message that was not sent");
    bool multiple = frame->payload[12] & 1;
    for (long index = multiple ? confirms->lowest : last; index <= last; index++) {
        if (confirms->settled[index]) continue;
        confirms->settled[index] = true;
        note_answer(pass, index, when, good);
    }
    while (confirms->lowest < pass->sent && confirms->settled[confirms->lowest]) confirms->lowest++;
}

/* Casts and fanouts, confirmed. */
static void cast_all(struct link *link, const struct order *order, struct pass *pass, struct envelope *envelope, uint64_t before) {
    struct confirms confirms = {.before = before, .settled = calloc((size_t)pass->messages + 1, sizeof(bool))};
    struct frame frame;
    if (confirms.settled == NULL) fail(1, "no memory for %ld messages", pass->messages);
    while (under_way(pass)) {
        while (pass->sent < pass->messages && pass->sent - pass->answered - pass->failed < order->in_flight)
            send_next(link, order, pass, envelope);
        if (!next_frame(link, &frame)) break;
        settle(&confirms, pass, &frame);
    }
    free(confirms.settled);
}

/* Waits until every board is full, or nothing has moved for PATIENCE seconds; returns when the last message was handled. */
static double until_handled(const struct order *order) {
    struct board boards[MOST_BOARDS];
    uint64_t seen = UINT64_MAX;
    double latest = now();
    for (int index = 0; index < order->board_count; index++) boards[index] = open_board(order->boards[index]);
    while (now() - latest < PATIENCE) {
        bool full = true;
        uint64_t total = 0;
        for (int index = 0; index < order->board_count; index++) {
            full = board_is_full(&boards[index]) && full;
            total += board_total(&boards[index]);
        }
        if (full) return now();
        if (total != seen) latest = now();
        seen = total;
        usleep(500);
    }
    return latest;
}

static int by_value(const void *left, const void *right) {
    double one = *(const double *)left, other = *(const double *)right;
    return (one > other) - (one < other);
}

static double quantile(const double *ordered, long count, int percent) {
    if (count == 0) return 0;
    double position = (double)(count - 1) * percent / 100;
    long below = (long)position, above = below + 1 < count ? below + 1 : below;
    return ordered[below] + (ordered[above] - ordered[below]) * (position - (double)below);
}

static void report(struct pass *pass, double cpu, double ended) {
    qsort(pass->latencies, (size_t)pass->answered, sizeof(double), by_value);
    printf("{\"seconds\":%.6f,\"sent_seconds\":%.6f,\"cpu_s\":%.6f,\"quantiles_us\":[", ended - pass->began,
           pass->latest - pass->began, cpu);
    for (int percent = 0; percent <= 100; percent++)
        printf("%s%.1f", percent ? "," : "", quantile(pass->latencies, pass->answered, percent) * 1e6);
    printf("],\"errors\":%ld}\n", pass->messages - pass->answered);
    fflush(stdout);
}

static struct envelope prepare_sending(struct link *link, const struct order *order) {
    struct envelope envelope = {.routing_key = text_of(order->queue), .delivery_mode = order->durable ? 2 : 1};
    if (strcmp(order->operation, "call") == 0) {
        char *queue = declare_own_queue(link);
        envelope.reply_to = text_of(queue);
        take_over(link, PATIENCE);
        consume(link, queue, false);
        free(queue);
        return envelope;
    }
    if (strcmp(order->operation, "fanout") == 0) {
        envelope.exchange = fanout_exchange(order);
        envelope.routing_key.length = 0;
        declare_exchange(link, &envelope.exchange);
    }
    amqp_confirm_select(link->state, CHANNEL);
    check(link, "select confirms");
    take_over(link, PATIENCE);
    return envelope;
}

static void send_all(const struct order *order) {
    bool calls = strcmp(order->operation, "call") == 0;
    if (!calls && strcmp(order->operation, "cast") != 0 && strcmp(order->operation, "fanout") != 0)
        fail(UNSUPPORTED, "--op: %s is not known", order->operation);
    struct link *link = connect_to(order->url);
    struct envelope envelope = prepare_sending(link, order);
    long warm_ups = order->messages / 10 < 50 ? order->messages / 10 : 50;
    double cpu = 0, ended = 0;
    for (int counted = 0; counted <= 1; counted++) {
        struct pass pass = new_pass(counted ? order->messages : warm_ups, counted);
        double cpu_before = cpu_used();
        if (calls)
            call_all(link, order, &pass, &envelope);
        else
            cast_all(link, order, &pass, &envelope, counted ? (uint64_t)warm_ups : 0);
        cpu = cpu_used() - cpu_before;
        if (link->timed_out) fprintf(stderr, "limit: nothing came for %d s\n", PATIENCE);
        if (counted) {
            ended = calls ? pass.latest : until_handled(order);
            report(&pass, cpu, ended);
        }
        free_pass(&pass);
    }
}

int main(int count, char **arguments) {
    struct order order = read_order(count, arguments);
    if (order.is_server)
        serve(&order);
    else
        send_all(&order);
    return 0;
}

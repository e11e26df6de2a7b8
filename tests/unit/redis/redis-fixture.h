/* Real Redis servers, and the fault proxy, for tests. Everything ends with the test program. */
#ifndef RAGIFY_REDIS_FIXTURE_H
#define RAGIFY_REDIS_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVER_ARGUMENTS 24

typedef struct RedisServer {
  pid_t pid; /* 0: not running */
  uint16_t port;
  char folder[64]; /* its own, with redis.log */
  const char *arguments[SERVER_ARGUMENTS];
  bool tls; /* TLS only */
} RedisServer;

/* Starts a server of redis-server on a free port of 127.0.0.1, nothing saved, with more arguments (ended by NULL; NULL:
 * none), and waits until it answers. The arguments must outlive it. */
void redis_server_start (RedisServer *server, const char *const *arguments);
/* The same server again, on the same port, empty. */
void redis_server_restart (RedisServer *server);
/* A free port and a folder, but no process: for servers that are wanted later. */
void redis_server_prepare (RedisServer *server, const char *const *arguments);
void redis_server_kill (RedisServer *server); /* SIGKILL, and waits */
void redis_server_signal (const RedisServer *server, int number);
/* Kills it and removes its folder. */
void redis_server_end (RedisServer *server);

/* Runs one command, as `format` of printf and blanks say it, and returns its reply as text, in a buffer that the next
 * call uses again: an array is its elements with blanks between, an error begins with "ERR" or the like. Fails the test
 * when it cannot. */
const char *
redis_server_ask (const RedisServer *server, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
/* Asks until the reply contains `part`; fails the test after a minute. */
void redis_server_await (const RedisServer *server, const char *command, const char *part);

uint16_t free_port (void);

typedef struct FaultProxy {
  pid_t pid;
  uint16_t port;
  int to;
  int from;
} FaultProxy;

/* Starts tests/integration/fault_proxy.py (FAULT_PROXY in the environment) before a port of 127.0.0.1. */
void fault_proxy_start (FaultProxy *proxy, uint16_t target);
/* One of its commands, such as "delay 200". */
void fault_proxy_tell (FaultProxy *proxy, const char *command);
void fault_proxy_end (FaultProxy *proxy);

#endif

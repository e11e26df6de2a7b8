/* Where a Redis is, as a URL says it.
 *
 *   redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]…][/DATABASE]    several hosts: seeds of a cluster
 *   rediss://…                                                          the same over TLS
 *   redis+cluster://… rediss+cluster://…                                a cluster, also with one seed
 *   redis+sentinel://…/SERVICE[/DATABASE] rediss+sentinel://…           the hosts are Sentinels
 *   unix://[USER[:PASSWORD]@]/PATH[?db=DATABASE]                        a Unix socket
 *
 * User, password and path may be percent-encoded; an IPv6 address stands in brackets. `:PASSWORD@` alone is a password
 * without a user. */
#ifndef RAGIFY_REDIS_URL_H
#define RAGIFY_REDIS_URL_H

#include "fault.h"

#define RAGIFY_REDIS_ENDPOINTS_MAX 64

typedef enum {
  RAGIFY_REDIS_SINGLE,
  RAGIFY_REDIS_CLUSTER,
  RAGIFY_REDIS_SENTINEL,
} RagifyRedisMode;

/* One address. */
typedef struct RagifyRedisEndpoint {
  char *host;    /* a name or number; with port 0 the path of a socket */
  uint16_t port; /* 0: a Unix socket */
} RagifyRedisEndpoint;

typedef struct RagifyRedisUrl {
  RagifyRedisMode mode;
  bool tls;
  RagifyRedisEndpoint *endpoints; /* at least one */
  size_t count;
  char *username; /* NULL: none */
  char *password; /* NULL: none */
  char *service;  /* of Sentinel; otherwise NULL */
  int database;
} RagifyRedisUrl;

/* Fills `url`, to be cleared by the caller. A fault names no password. [any] */
bool ragify_redis_url_parse (RagifyStr text, RagifyRedisUrl *url, RagifyFault *fault);
void ragify_redis_url_clear (RagifyRedisUrl *url);

#endif

/* Names to addresses without blocking a loop: numbers at once, names on the worker pool. */
#ifndef RAGIFY_REDIS_RESOLVER_H
#define RAGIFY_REDIS_RESOLVER_H

#include "fault.h"

#include <ragify/host.h>
#include <sys/socket.h>

#define RAGIFY_ADDRESSES_MAX 8

typedef struct RagifyAddress {
  struct sockaddr_storage storage;
  socklen_t size;
} RagifyAddress;

typedef struct RagifyAddresses {
  RagifyAddress items[RAGIFY_ADDRESSES_MAX];
  uint32_t count;
} RagifyAddresses;

typedef struct RagifyResolution RagifyResolution;

/* Runs on the loop, never inside ragify_resolve(). `addresses` or `fault` is NULL. */
typedef void (*RagifyResolved) (void *user, const RagifyAddresses *addresses, const RagifyFault *fault);

/* Looks up `name` (port 0: the path of a Unix socket). Cancel it to be told nothing; afterwards, and once `resolved`
 * ran, it is gone. [loop] */
RagifyResolution *ragify_resolve (const RagifyHost *host, RagifyContext *context, const RagifyLoopExtension *loop,
                                  const char *name, uint16_t port, RagifyResolved resolved, void *user);
void ragify_resolution_cancel (RagifyResolution *resolution);

#endif

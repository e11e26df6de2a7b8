#include "redis-resolver.h"

#include <glib.h>
#include <netdb.h>
#include <string.h>
#include <sys/un.h>

/* It belongs to the loop, but for the time that a worker looks the name up. */
struct RagifyResolution {
  RagifyContext *context;
  const RagifyLoopExtension *loop;
  char *name;
  uint16_t port;
  RagifyResolved resolved; /* NULL: cancelled */
  void *user;
  RagifyAddresses addresses;
  RagifyFault fault; /* code RAGIFY_OK: there are addresses */
};

static void
take_addresses (RagifyResolution *resolution, const struct addrinfo *list)
{
  RagifyAddresses *addresses = &resolution->addresses;
  for (; list != NULL && addresses->count < RAGIFY_ADDRESSES_MAX; list = list->ai_next) {
    RagifyAddress *address = &addresses->items[addresses->count++];
    memcpy (&address->storage, list->ai_addr, list->ai_addrlen);
    address->size = list->ai_addrlen;
  }
}

/* Returns getaddrinfo's code. */
static int
look_up (RagifyResolution *resolution, int flags)
{
  char service[8];
  struct addrinfo *list = NULL;
  const struct addrinfo hints = { .ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
  (void)g_snprintf (service, sizeof service, "%u", resolution->port);
  const int code = getaddrinfo (resolution->name, service, &hints, &list);
  if (code != 0)
    return code;
  take_addresses (resolution, list);
  freeaddrinfo (list);
  return 0;
}

static void
take_socket (RagifyResolution *resolution)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  const size_t size = strlen (resolution->name);
  if (size >= sizeof address.sun_path) {
    ragify_fault_set (&resolution->fault, RAGIFY_E_INVALID, "the path of a socket has at most %zu bytes: %s",
                      sizeof address.sun_path - 1, resolution->name);
    return;
  }
  memcpy (address.sun_path, resolution->name, size + 1);
  memcpy (&resolution->addresses.items[0].storage, &address, sizeof address);
  resolution->addresses.items[0].size = sizeof address;
  resolution->addresses.count = 1;
}

static void
finish (void *user)
{
  RagifyResolution *resolution = user;
  if (resolution->resolved != NULL && resolution->fault.code == RAGIFY_OK)
    resolution->resolved (resolution->user, &resolution->addresses, NULL);
  else if (resolution->resolved != NULL)
    resolution->resolved (resolution->user, NULL, &resolution->fault);
  g_free (resolution->name);
  g_free (resolution);
}

static void
work (void *user)
{
  RagifyResolution *resolution = user;
  const int code = look_up (resolution, AI_ADDRCONFIG);
  if (code != 0)
    ragify_fault_set (&resolution->fault, RAGIFY_E_UNAVAILABLE, "the name %s was not found: %s", resolution->name,
                      gai_strerror (code));
  resolution->loop->invoke (resolution->context, finish, resolution);
}

RagifyResolution *
ragify_resolve (const RagifyHost *host, RagifyContext *context, const RagifyLoopExtension *loop, const char *name,
                uint16_t port, RagifyResolved resolved, void *user)
{
  RagifyResolution *resolution = g_new0 (RagifyResolution, 1);
  resolution->context = context;
  resolution->loop = loop;
  resolution->name = g_strdup (name);
  resolution->port = port;
  resolution->resolved = resolved;
  resolution->user = user;
  if (port == 0)
    take_socket (resolution);
  else if (look_up (resolution, AI_NUMERICHOST) != 0) {
    if (host->submit (context, work, resolution) == RAGIFY_OK)
      return resolution;
    ragify_fault_set (&resolution->fault, RAGIFY_E_EXHAUSTED, "no worker is free to look up %s", name);
  }
  loop->invoke (context, finish, resolution);
  return resolution;
}

void
ragify_resolution_cancel (RagifyResolution *resolution)
{
  resolution->resolved = NULL;
}

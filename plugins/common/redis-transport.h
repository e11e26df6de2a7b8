/* A non-blocking stream to a server: a TCP or Unix socket, with or without TLS. One thread: its loop's. */
#ifndef RAGIFY_REDIS_TRANSPORT_H
#define RAGIFY_REDIS_TRANSPORT_H

#include "redis-resolver.h"

#include <sys/uio.h>

/* Whom to trust and what to show; shared by transports, which must not outlive it. */
typedef struct RagifyTls RagifyTls;

typedef struct RagifyTlsOptions {
  const char *ca_file;          /* PEM; NULL: the system's authorities */
  const char *certificate_file; /* PEM, with its key; NULL: none is shown */
  const char *key_file;
  bool verify; /* the server's certificate and name */
} RagifyTlsOptions;

/* Reads the files. NULL with a fault. [control] */
RagifyTls *ragify_tls_new (const RagifyTlsOptions *options, RagifyFault *fault);
void ragify_tls_free (RagifyTls *tls);

typedef struct RagifyTransport RagifyTransport;

/* Begins to connect. `tls` NULL: in the clear; `server_name`: what the certificate must be for. NULL with a fault. */
RagifyTransport *
ragify_transport_open (const RagifyAddress *address, RagifyTls *tls, const char *server_name, RagifyFault *fault);
void ragify_transport_close (RagifyTransport *transport);
int ragify_transport_fd (const RagifyTransport *transport);

typedef enum {
  RAGIFY_TRANSPORT_READY,
  RAGIFY_TRANSPORT_WANTS_READ,
  RAGIFY_TRANSPORT_WANTS_WRITE,
  RAGIFY_TRANSPORT_FAILED, /* with a fault */
} RagifyTransportState;

/* Connects and shakes hands as far as possible; asked again when the socket is ready for what it wants. */
RagifyTransportState ragify_transport_establish (RagifyTransport *transport, RagifyFault *fault);

/* Bytes moved; 0: not now; -1: the connection is over, with a fault. After a write of 0, write the same bytes again. */
int64_t ragify_transport_read (RagifyTransport *transport, void *data, size_t size, RagifyFault *fault);
/* Whether bytes have been taken from the socket that no read has returned yet: no watch will tell of those. */
bool ragify_transport_has_more (const RagifyTransport *transport);
int64_t
ragify_transport_write (RagifyTransport *transport, const struct iovec *pieces, size_t count, RagifyFault *fault);

#endif

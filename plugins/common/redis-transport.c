#include "redis-transport.h"

#include <errno.h>
#include <glib.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#define TLS_RECORD 16384

struct RagifyTls {
  gnutls_certificate_credentials_t credentials;
  bool verify;
};

struct RagifyTransport {
  int fd;
  bool connected;
  gnutls_session_t session; /* NULL: in the clear */
  size_t unsent;            /* bytes that GnuTLS has taken but not yet sent */
};

static bool
fail_tls (RagifyFault *fault, const char *what, int code)
{
  return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: %s", what, gnutls_strerror (code));
}

static bool
load_files (RagifyTls *tls, const RagifyTlsOptions *options, RagifyFault *fault)
{
  if (options->verify) {
    const int count =
        options->ca_file != NULL
            ? gnutls_certificate_set_x509_trust_file (tls->credentials, options->ca_file, GNUTLS_X509_FMT_PEM)
            : gnutls_certificate_set_x509_system_trust (tls->credentials);
    if (count < 0)
      return fail_tls (fault, options->ca_file != NULL ? options->ca_file : "the system's authorities", count);
    if (count == 0 && options->ca_file != NULL)
      return ragify_fault_set (fault, RAGIFY_E_INVALID, "%s: no certificate in it", options->ca_file);
  }
  if (options->certificate_file == NULL)
    return true;
  const char *key = options->key_file != NULL ? options->key_file : options->certificate_file;
  const int code =
      gnutls_certificate_set_x509_key_file (tls->credentials, options->certificate_file, key, GNUTLS_X509_FMT_PEM);
  return code >= 0 || fail_tls (fault, options->certificate_file, code);
}

RagifyTls *
ragify_tls_new (const RagifyTlsOptions *options, RagifyFault *fault)
{
  RagifyTls *tls = g_new0 (RagifyTls, 1);
  tls->verify = options->verify;
  const int code = gnutls_certificate_allocate_credentials (&tls->credentials);
  if (code >= 0 && load_files (tls, options, fault))
    return tls;
  if (code < 0)
    ragify_fault_memory (fault);
  ragify_tls_free (tls);
  return NULL;
}

void
ragify_tls_free (RagifyTls *tls)
{
  if (tls == NULL)
    return;
  if (tls->credentials != NULL)
    gnutls_certificate_free_credentials (tls->credentials);
  g_free (tls);
}

/* Server name indication is for names only, not for addresses. */
static bool
is_number (const char *name)
{
  return g_hostname_is_ip_address (name);
}

static bool
start_tls (RagifyTransport *transport, RagifyTls *tls, const char *server_name, RagifyFault *fault)
{
  int code = gnutls_init (&transport->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
  if (code >= 0)
    code = gnutls_set_default_priority (transport->session);
  if (code >= 0)
    code = gnutls_credentials_set (transport->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
  if (code >= 0 && !is_number (server_name))
    code = gnutls_server_name_set (transport->session, GNUTLS_NAME_DNS, server_name, strlen (server_name));
  if (code < 0)
    return fail_tls (fault, "TLS", code);
  if (tls->verify)
    gnutls_session_set_verify_cert (transport->session, server_name, 0);
  gnutls_transport_set_int (transport->session, transport->fd);
  return true;
}

static bool
fail_socket (RagifyFault *fault, const char *what, int cause)
{
  return ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "%s: %s", what, g_strerror (cause));
}

static bool
start_socket (RagifyTransport *transport, const RagifyAddress *address, RagifyFault *fault)
{
  const int on = 1;
  const int family = address->storage.ss_family;
  transport->fd = socket (family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (transport->fd < 0)
    return fail_socket (fault, "no socket", errno);
  if (family != AF_UNIX) {
    (void)setsockopt (transport->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt (transport->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (connect (transport->fd, (const struct sockaddr *)&address->storage, address->size) == 0)
    transport->connected = true;
  else if (errno != EINPROGRESS)
    return fail_socket (fault, "connecting failed", errno == EAGAIN ? ECONNREFUSED : errno);
  return true;
}

RagifyTransport *
ragify_transport_open (const RagifyAddress *address, RagifyTls *tls, const char *server_name, RagifyFault *fault)
{
  RagifyTransport *transport = g_new0 (RagifyTransport, 1);
  transport->fd = -1;
  if (start_socket (transport, address, fault) && (tls == NULL || start_tls (transport, tls, server_name, fault)))
    return transport;
  ragify_transport_close (transport);
  return NULL;
}

void
ragify_transport_close (RagifyTransport *transport)
{
  if (transport == NULL)
    return;
  if (transport->session != NULL)
    gnutls_deinit (transport->session);
  if (transport->fd >= 0)
    (void)close (transport->fd);
  g_free (transport);
}

int
ragify_transport_fd (const RagifyTransport *transport)
{
  return transport->fd;
}

/* Why the server's certificate was refused, if that was it. */
static void
explain_handshake (RagifyTransport *transport, int code, RagifyFault *fault)
{
  gnutls_datum_t text = { NULL, 0 };
  const unsigned status = gnutls_session_get_verify_cert_status (transport->session);
  if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
      gnutls_certificate_verification_status_print (status, GNUTLS_CRT_X509, &text, 0) >= 0) {
    ragify_fault_set (fault, RAGIFY_E_UNAUTHORIZED, "the server's certificate is refused: %s", (const char *)text.data);
    gnutls_free (text.data);
    return;
  }
  ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "TLS failed: %s", gnutls_strerror (code));
}

static RagifyTransportState
shake_hands (RagifyTransport *transport, RagifyFault *fault)
{
  int code;
  do
    code = gnutls_handshake (transport->session);
  while (code < 0 && code != GNUTLS_E_AGAIN && !gnutls_error_is_fatal (code));
  if (code == GNUTLS_E_SUCCESS)
    return RAGIFY_TRANSPORT_READY;
  if (code == GNUTLS_E_AGAIN)
    return gnutls_record_get_direction (transport->session) == 0 ? RAGIFY_TRANSPORT_WANTS_READ
                                                                 : RAGIFY_TRANSPORT_WANTS_WRITE;
  explain_handshake (transport, code, fault);
  return RAGIFY_TRANSPORT_FAILED;
}

RagifyTransportState
ragify_transport_establish (RagifyTransport *transport, RagifyFault *fault)
{
  if (!transport->connected) {
    int cause = 0;
    socklen_t size = sizeof cause;
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof peer;
    if (getsockopt (transport->fd, SOL_SOCKET, SO_ERROR, &cause, &size) != 0)
      cause = errno;
    if (cause == 0 && getpeername (transport->fd, (struct sockaddr *)&peer, &peer_size) != 0)
      return RAGIFY_TRANSPORT_WANTS_WRITE; /* still on its way */
    if (cause != 0) {
      fail_socket (fault, "connecting failed", cause);
      return RAGIFY_TRANSPORT_FAILED;
    }
    transport->connected = true;
  }
  return transport->session != NULL ? shake_hands (transport, fault) : RAGIFY_TRANSPORT_READY;
}

static int64_t
closed (RagifyFault *fault)
{
  ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "the server closed the connection");
  return -1;
}

static int64_t
tls_result (int64_t result, RagifyFault *fault)
{
  if (result >= 0)
    return result;
  if (!gnutls_error_is_fatal ((int)result))
    return 0;
  if (result == GNUTLS_E_PREMATURE_TERMINATION)
    return closed (fault);
  ragify_fault_set (fault, RAGIFY_E_UNAVAILABLE, "the connection was lost: %s", gnutls_strerror ((int)result));
  return -1;
}

static int64_t
socket_result (int64_t result, RagifyFault *fault)
{
  if (result >= 0)
    return result;
  if (errno == EAGAIN || errno == EINTR)
    return 0;
  fail_socket (fault, "the connection was lost", errno);
  return -1;
}

int64_t
ragify_transport_read (RagifyTransport *transport, void *data, size_t size, RagifyFault *fault)
{
  if (transport->session == NULL) {
    const ssize_t result = recv (transport->fd, data, size, 0);
    return result == 0 ? closed (fault) : socket_result (result, fault);
  }
  const ssize_t result = gnutls_record_recv (transport->session, data, size);
  return result == 0 ? closed (fault) : tls_result (result, fault);
}

bool
ragify_transport_has_more (const RagifyTransport *transport)
{
  return transport->session != NULL && gnutls_record_check_pending (transport->session) > 0;
}

/* One record, gathered: small commands would each be one of their own. */
static int64_t
write_tls (RagifyTransport *transport, const struct iovec *pieces, size_t count, RagifyFault *fault)
{
  uint8_t record[TLS_RECORD];
  size_t size = 0;
  if (transport->unsent > 0) {
    const int64_t sent = tls_result (gnutls_record_send (transport->session, NULL, 0), fault);
    if (sent > 0)
      transport->unsent = 0;
    return sent;
  }
  for (size_t i = 0; i < count && size < sizeof record; i++) {
    const size_t part = MIN (pieces[i].iov_len, sizeof record - size);
    memcpy (record + size, pieces[i].iov_base, part);
    size += part;
  }
  const int64_t sent = tls_result (gnutls_record_send (transport->session, record, size), fault);
  if (sent == 0)
    transport->unsent = size;
  return sent;
}

int64_t
ragify_transport_write (RagifyTransport *transport, const struct iovec *pieces, size_t count, RagifyFault *fault)
{
  if (transport->session != NULL)
    return write_tls (transport, pieces, count, fault);
  const struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = count };
  return socket_result (sendmsg (transport->fd, &message, MSG_NOSIGNAL), fault);
}

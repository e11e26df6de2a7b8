/* TLS: a certificate with its key, read again when the files change.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <glib.h>
#include <gnutls/abstract.h>

/* What one reading of the files gave; immutable. */
typedef struct RagifyCertificate {
  gint references; /* atomic */
  gnutls_pcert_st *chain;
  guint n_chain;
  gnutls_privkey_t key;
} RagifyCertificate;
RagifyCertificate *ragify_certificate_ref (RagifyCertificate *certificate); /* [any] */
void ragify_certificate_unref (RagifyCertificate *certificate);             /* [any] */

typedef struct RagifyTls RagifyTls;

/* Reads a certificate chain and its private key, both PEM; NULL with an error that names the file. They must fit. A
 * later change that cannot be used is logged, and what was read before stays. [control] */
RagifyTls *ragify_tls_new (const char *chain_path, const char *key_path, GError **error);
void ragify_tls_free (RagifyTls *tls); /* [control] */

/* Grows with each change. [any] */
guint ragify_tls_version (const RagifyTls *tls);
/* A reference to the certificate as it is now. [any] */
RagifyCertificate *ragify_tls_certificate (RagifyTls *tls);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyCertificate, ragify_certificate_unref)

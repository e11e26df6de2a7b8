/* SPDX-License-Identifier: MIT */
#include "core/server/tls.h"

#include <gio/gio.h>
#include <pthread.h>

#include "core/server/file-watch.h"

#define LONGEST_CHAIN 16u

struct RagifyTls {
  char *chain_path, *key_path;
  RagifyFileWatch *watch;
  guint version; /* atomic */
  pthread_mutex_t lock;
  RagifyCertificate *certificate; /* under the lock */
};

/* ---- certificates ---- */

RagifyCertificate *
ragify_certificate_ref (RagifyCertificate *certificate)
{
  g_atomic_int_inc (&certificate->references);
  return certificate;
}

void
ragify_certificate_unref (RagifyCertificate *certificate)
{
  if (!g_atomic_int_dec_and_test (&certificate->references))
    return;
  for (guint i = 0; i < certificate->n_chain; i++)
    gnutls_pcert_deinit (&certificate->chain[i]);
  g_free (certificate->chain);
  if (certificate->key != NULL)
    gnutls_privkey_deinit (certificate->key);
  g_free (certificate);
}

static gboolean
fail (GError **error, const char *path, int code)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "%s: %s", path, gnutls_strerror (code));
  return FALSE;
}

static gboolean
read_file (const char *path, gnutls_datum_t *data, GError **error)
{
  char *text = NULL;
  gsize size = 0;
  if (!g_file_get_contents (path, &text, &size, error))
    return FALSE; /* it names the file */
  *data = (gnutls_datum_t){ (unsigned char *)text, (unsigned)size };
  return TRUE;
}

static gboolean
read_chain (RagifyCertificate *certificate, const char *path, GError **error)
{
  gnutls_datum_t data;
  guint count = LONGEST_CHAIN;
  if (!read_file (path, &data, error))
    return FALSE;
  certificate->chain = g_new0 (gnutls_pcert_st, LONGEST_CHAIN);
  const int code = gnutls_pcert_list_import_x509_raw (certificate->chain, &count, &data, GNUTLS_X509_FMT_PEM,
                                                      GNUTLS_X509_CRT_LIST_IMPORT_FAIL_IF_EXCEED);
  g_free (data.data);
  if (code < 0)
    return fail (error, path, code);
  certificate->n_chain = count;
  return TRUE;
}

static gboolean
read_key (RagifyCertificate *certificate, const char *path, GError **error)
{
  gnutls_datum_t data;
  if (!read_file (path, &data, error))
    return FALSE;
  gnutls_privkey_init (&certificate->key);
  const int code = gnutls_privkey_import_x509_raw (certificate->key, &data, GNUTLS_X509_FMT_PEM, NULL, 0);
  gnutls_memset (data.data, 0, data.size);
  g_free (data.data);
  return code >= 0 || fail (error, path, code);
}

/* A key of another certificate would only be noticed by the first client. */
static gboolean
check_pair (const RagifyCertificate *certificate, const char *chain_path, const char *key_path, GError **error)
{
  guint8 of_key[64], of_chain[64];
  size_t key_size = sizeof of_key, chain_size = sizeof of_chain;
  gnutls_pubkey_t public_key;
  gnutls_pubkey_init (&public_key);
  const gboolean same =
      gnutls_pubkey_import_privkey (public_key, certificate->key, 0, 0) >= 0 &&
      gnutls_pubkey_get_key_id (public_key, GNUTLS_KEYID_USE_SHA256, of_key, &key_size) >= 0 &&
      gnutls_pubkey_get_key_id (certificate->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_chain, &chain_size) >= 0 &&
      key_size == chain_size && memcmp (of_key, of_chain, key_size) == 0;
  gnutls_pubkey_deinit (public_key);
  if (!same)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "the key in %s is not that of the first certificate in %s",
                 key_path, chain_path);
  return same;
}

static RagifyCertificate *
certificate_load (const char *chain_path, const char *key_path, GError **error)
{
  g_autoptr (RagifyCertificate) certificate = g_new0 (RagifyCertificate, 1);
  certificate->references = 1;
  if (!read_chain (certificate, chain_path, error) || !read_key (certificate, key_path, error) ||
      !check_pair (certificate, chain_path, key_path, error))
    return NULL;
  return g_steal_pointer (&certificate);
}

/* ---- what a server holds ---- */

static void
put_certificate (RagifyTls *tls, RagifyCertificate *certificate)
{
  pthread_mutex_lock (&tls->lock);
  RagifyCertificate *before = tls->certificate;
  tls->certificate = certificate;
  pthread_mutex_unlock (&tls->lock);
  __atomic_fetch_add (&tls->version, 1, __ATOMIC_RELEASE);
  if (before != NULL)
    ragify_certificate_unref (before);
}

static void
files_changed (void *user)
{
  RagifyTls *tls = user;
  g_autoptr (GError) error = NULL;
  RagifyCertificate *certificate = certificate_load (tls->chain_path, tls->key_path, &error);
  if (certificate == NULL) {
    g_warning ("the certificate has changed and cannot be used, so that the one from before stays: %s", error->message);
    return;
  }
  put_certificate (tls, certificate);
  g_message ("%s has changed: new connections get its certificate", tls->chain_path);
}

RagifyTls *
ragify_tls_new (const char *chain_path, const char *key_path, GError **error)
{
  RagifyTls *tls = g_new0 (RagifyTls, 1);
  const char *const paths[] = { chain_path, key_path, NULL };
  pthread_mutex_init (&tls->lock, NULL);
  tls->chain_path = g_strdup (chain_path);
  tls->key_path = g_strdup (key_path);
  tls->watch = ragify_file_watch_new (paths, files_changed, tls); /* first: what is written meanwhile is a change */
  RagifyCertificate *certificate = certificate_load (chain_path, key_path, error);
  if (certificate == NULL) {
    ragify_tls_free (tls);
    return NULL;
  }
  put_certificate (tls, certificate);
  return tls;
}

void
ragify_tls_free (RagifyTls *tls)
{
  ragify_file_watch_free (tls->watch);
  g_clear_pointer (&tls->certificate, ragify_certificate_unref);
  pthread_mutex_destroy (&tls->lock);
  g_free (tls->chain_path);
  g_free (tls->key_path);
  g_free (tls);
}

guint
ragify_tls_version (const RagifyTls *tls)
{
  return __atomic_load_n (&tls->version, __ATOMIC_ACQUIRE);
}

RagifyCertificate *
ragify_tls_certificate (RagifyTls *tls)
{
  pthread_mutex_lock (&tls->lock);
  RagifyCertificate *certificate = ragify_certificate_ref (tls->certificate);
  pthread_mutex_unlock (&tls->lock);
  return certificate;
}

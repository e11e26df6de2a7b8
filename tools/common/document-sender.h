/* Sends documents to POST /v1/documents in batches, several at once, and adds up what the server says.
 *
 * A batch that the server refuses as a whole (400, 413, 422) is halved and sent again until the document at fault is
 * known by name; "not now" (429, 503) is tried again after Retry-After; any other refusal ends the work, since it would
 * meet every batch (no such store, not allowed, disk full).
 */
#pragma once

#include "http-client.h"
#include "record-reader.h"

#define RAGIFY_DOCUMENT_SENDER_ERROR (ragify_document_sender_error_quark ())
GQuark ragify_document_sender_error_quark (void);

typedef enum {
  RAGIFY_DOCUMENT_SENDER_ERROR_REFUSED, /* the server answered with something that ends the work */
} RagifyDocumentSenderError;

typedef struct {
  char *id;
  char *reason;
} RagifyDocumentFailure;

/* What has been acknowledged so far. */
typedef struct {
  guint64 documents;   /* stored, of which */
  guint64 replaced;    /*   took the place of another version */
  guint64 unchanged;   /* besides: the store had them already */
  guint64 chunks;      /* written for what was stored */
  GPtrArray *failures; /* of RagifyDocumentFailure */
  GPtrArray *warnings; /* of char *, each once */
  char *generation;    /* of the store after the last batch, or NULL */
} RagifyDocumentTotals;

/* Documents that are in the store now: stored and unchanged. */
guint64 ragify_document_totals_count (const RagifyDocumentTotals *totals);

typedef struct {
  const char *store;    /* NULL: the server's only one */
  const char *chunking; /* "default", "none", or NULL for the server's choice */
  guint parallel;       /* batches under way at once, 1..16 */
  gsize batch_bytes;    /* a batch is sent when it has this many bytes (one larger document goes alone) … */
  guint batch_count;    /* … or this many documents */
} RagifyDocumentSenderOptions;

/* 256 KiB, 500 documents, 2 batches at once: a batch is a commit, and one that takes seconds to embed still shows
 * progress. */
extern const RagifyDocumentSenderOptions RAGIFY_DOCUMENT_SENDER_DEFAULTS;

typedef struct _RagifyDocumentSender RagifyDocumentSender;

/* client must outlive the sender. [control] */
RagifyDocumentSender *ragify_document_sender_new (RagifyHttpClient *client, const RagifyDocumentSenderOptions *options);
void ragify_document_sender_free (RagifyDocumentSender *sender);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyDocumentSender, ragify_document_sender_free)

/* Adds a document; sends, and waits, when a batch is full. Returns FALSE with error set when the work cannot go on
 * (unreachable, refused); nothing may be added then. */
gboolean ragify_document_sender_add (RagifyDocumentSender *sender, const RagifyRecord *record, GError **error);

/* Sends a document by itself whose content are the size bytes of fd, and waits for the answer however long it takes;
 * fd stays open. progress, where it is not NULL, is told from time to time what share of the bytes has left. */
gboolean ragify_document_sender_send_file (RagifyDocumentSender *sender, const RagifyRecord *record, int fd,
                                           guint64 size, void (*progress) (gpointer user_data, double fraction),
                                           gpointer user_data, GError **error);

/* Adds a document that the caller could not read to the failures. */
void ragify_document_sender_add_failure (RagifyDocumentSender *sender, const char *id, const char *reason);

/* Sends what is left and waits for every answer. */
gboolean ragify_document_sender_finish (RagifyDocumentSender *sender, GError **error);

const RagifyDocumentTotals *ragify_document_sender_get_totals (const RagifyDocumentSender *sender);

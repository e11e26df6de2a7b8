/* Where a list goes on, as a text that only this store's hosts can read: the plain number would tell whoever is held to
 * a filter how many records lie between two of theirs. The same for all hosts of a store, and after a restart. */
#ifndef RAGIFY_CHROMA_CURSOR_H
#define RAGIFY_CHROMA_CURSOR_H

#include <glib.h>
#include <ragify/base.h>

#define CHROMA_CURSOR_SIZE 33u /* bytes of text, with its end */

/* [any] offset < 2^63. */
void chroma_cursor_write (const RagifyUuid *secret, guint64 offset, char *text);

/* [any] FALSE where it is not one of this store's. */
gboolean chroma_cursor_read (const RagifyUuid *secret, RagifyStr text, guint64 *offset);

#endif

/* One key file as groups, entries and values, with the place of each. It knows the syntax and no key.
 *
 * SPDX-License-Identifier: MIT
 *
 * The syntax, line by line (docs/configuration.md has it for people):
 *  - a blank line; or a comment, whose first character that is not a blank is '#' or ';';
 *  - a group: [kind] or [kind name], where a comment may follow;
 *  - an entry: key = value. The value ends at " #" or "\t#" outside quotes. Quotes open at the value's start or after a
 * ';' and hide '#' and ';' up to the closing one, '\' in them taking the meaning of the next character away. A line
 * that ends with '\' goes on in the next one that is not a comment; the break and the blanks around it become one
 * space. A value is kept as written, quotes included: value.h takes it apart by its type.
 *
 * Input may be anything at all. What is not understood is reported, skipped, and the rest still read, until
 * RAGIFY_SCAN_ERRORS_MAX errors of syntax or a NUL byte say that this is not a text file. Time is linear in its size.
 */
#ifndef RAGIFY_CONFIG_SCANNER_H
#define RAGIFY_CONFIG_SCANNER_H

#include "config/diagnostics.h"

G_BEGIN_DECLS

#define RAGIFY_SCAN_FILE_MAX (16 * 1024 * 1024) /* bytes of one file */
#define RAGIFY_SCAN_VALUE_MAX (64 * 1024)       /* bytes of one value */
#define RAGIFY_SCAN_NAME_MAX 128                /* bytes of a kind, a name or a key */
#define RAGIFY_SCAN_ERRORS_MAX 50

/* A part of a value that stands on one line of the file. */
typedef struct RagifyScanPiece {
  uint32_t offset; /* in the value */
  uint32_t line;
  uint32_t column;
} RagifyScanPiece;

typedef struct RagifyScanEntry {
  const char *key;
  const char *value; /* as written, trimmed, continued lines joined; may be "" */
  uint32_t line;
  uint32_t column; /* of the key */
  uint32_t first_piece;
  uint32_t n_pieces; /* at least one */
} RagifyScanEntry;

typedef struct RagifyScanGroup {
  const char *text; /* "kind name" or "kind" */
  const char *kind;
  const char *name; /* "" where there is none */
  uint32_t line;
  uint32_t column;
  uint32_t first_entry;
  uint32_t n_entries;
  bool damaged; /* a line of it could not be read: nothing may be said to be missing */
} RagifyScanGroup;

typedef struct RagifyScan {
  char *path;
  GArray *groups;  /* RagifyScanGroup, in file order */
  GArray *entries; /* RagifyScanEntry */
  GArray *pieces;  /* RagifyScanPiece */
  GStringChunk *texts;
} RagifyScan;

/* Scans `size` bytes that came from `path`. Always answers; errors go to `diagnostics`. */
RagifyScan *ragify_scan_bytes (const char *path, const char *bytes, size_t size, RagifyDiagnostics *diagnostics);
void ragify_scan_free (RagifyScan *scan);

/* An empty scan, and one entry into it, for what does not come from a file. `value` stands at `line`, `value_column`.
 */
RagifyScan *ragify_scan_new (const char *path);
void ragify_scan_add (RagifyScan *scan, const char *group, const char *key, const char *value, uint32_t line,
                      uint32_t column, uint32_t value_column);

/* Where the byte `offset` of the entry's value stands. */
void ragify_scan_locate (const RagifyScan *scan, const RagifyScanEntry *entry, size_t offset, unsigned int *line,
                         unsigned int *column);

/* True for [A-Za-z0-9][A-Za-z0-9._-]* of at most RAGIFY_SCAN_NAME_MAX bytes: what names a node. */
bool ragify_scan_is_name (const char *text, size_t size);
/* True for [A-Za-z][A-Za-z0-9_-]*: what may be a kind or a key. Those that exist have neither capitals nor '_'; letting
 * them pass here lets the linter say which one was meant. */
bool ragify_scan_is_word (const char *text, size_t size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyScan, ragify_scan_free)

G_END_DECLS
#endif

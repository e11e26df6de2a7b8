/* The table of a request's fields, which JSON bodies and query parameters share.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

#include <jansson.h>

#include "request.h"

typedef enum {
  RAGIFY_FIELD_QUERY,
  RAGIFY_FIELD_NAME, /* a text of 1..256 bytes */
  RAGIFY_FIELD_INT,
  RAGIFY_FIELD_DURATION_MS,
  RAGIFY_FIELD_FRACTION, /* 0..1 */
  RAGIFY_FIELD_BOOL,
  RAGIFY_FIELD_CHOICE,
  RAGIFY_FIELD_NAMES,
  RAGIFY_FIELD_FILTER,
  RAGIFY_FIELD_SEARCH,
} RagifyFieldType;

typedef struct RagifyField {
  const char *name;
  RagifyFieldType type;
  gsize offset; /* in RagifyRequest */
  gsize size;   /* of integers and choices there: 4 or 8 */
  gint64 minimum, maximum;
  const char *const *choices; /* ended by NULL; the value is the place */
} RagifyField;

extern const RagifyField ragify_request_fields[];
extern const guint ragify_request_n_fields;

/* The field called `name`, or NULL with a problem that names the nearest. */
const RagifyField *ragify_request_field (const char *name, RagifyProblem *problem);

/* Checks `json` and puts it into the request; FALSE with a problem. */
gboolean
ragify_request_field_set (RagifyRequest *request, const RagifyField *field, const json_t *json, RagifyProblem *problem);

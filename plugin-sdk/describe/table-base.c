/* SPDX-License-Identifier: MIT */
#include "table.h"

static const RagifyDescribedMember members_RagifyStr[] = {
  ROW (RagifyStr, data, RAGIFY_TYPE_ITEMS, RAGIFY_TYPE_U8, NULL, NULL),
  NUMBER (RagifyStr, size, U64),
};
STRUCT (RagifyStr, RAGIFY_STRUCT_LIST);

static const RagifyDescribedMember members_RagifyBytes[] = {
  ROW (RagifyBytes, data, RAGIFY_TYPE_ITEMS, RAGIFY_TYPE_U8, NULL, NULL),
  NUMBER (RagifyBytes, size, U64),
};
STRUCT (RagifyBytes, RAGIFY_STRUCT_LIST);

static const RagifyDescribedMember members_RagifyUuid[] = {
  PLAIN (RagifyUuid, bytes, RAW),
};
STRUCT (RagifyUuid, 0);

static const RagifyDescribedMember members_RagifyGeneration[] = {
  INSIDE (RagifyGeneration, store, RagifyUuid),
  NUMBER (RagifyGeneration, counter, U64),
};
STRUCT (RagifyGeneration, 0);

static const RagifyDescribedMember members_RagifyBuffer[] = {
  HEAD (RagifyBuffer),
  PLAIN (RagifyBuffer, data, OPAQUE),
  NUMBER (RagifyBuffer, size, U64),
  FUNCTION (RagifyBuffer, ref, "[any]"),
  FUNCTION (RagifyBuffer, unref, "[any]"),
};
STRUCT (RagifyBuffer, RAGIFY_STRUCT_SIZED);

LIST_OF (RagifyStrList, RagifyStr);

LIST_OF (RagifyUuidList, RagifyUuid);

static const RagifyDescribedMember members_RagifyU32List[] = {
  ROW (RagifyU32List, items, RAGIFY_TYPE_ITEMS, RAGIFY_TYPE_U32, NULL, NULL),
  NUMBER (RagifyU32List, count, U64),
};
STRUCT (RagifyU32List, RAGIFY_STRUCT_LIST);

static const RagifyDescribedMember members_RagifyVectors[] = {
  ROW (RagifyVectors, items, RAGIFY_TYPE_ITEMS, RAGIFY_TYPE_F32, NULL, NULL),
  NUMBER (RagifyVectors, count, U32),
  NUMBER (RagifyVectors, dimension, U32),
};
STRUCT (RagifyVectors, RAGIFY_STRUCT_LIST | RAGIFY_STRUCT_VECTORS);

static const RagifyDescribedMember members_RagifyValue[] = {
  NUMBER (RagifyValue, type, U32),   NUMBER (RagifyValue, reserved, U32),     NUMBER (RagifyValue, integer, I64),
  NUMBER (RagifyValue, number, F64), INSIDE (RagifyValue, string, RagifyStr),
};
STRUCT (RagifyValue, 0);

LIST_OF (RagifyValueList, RagifyValue);

static const RagifyDescribedMember members_RagifyPair[] = {
  INSIDE (RagifyPair, name, RagifyStr),
  INSIDE (RagifyPair, value, RagifyValue),
};
STRUCT (RagifyPair, 0);

LIST_OF (RagifyPairList, RagifyPair);

STRIDED_LIST_OF (RagifyFilterList, RagifyFilter);

static const RagifyDescribedMember members_RagifyFilter[] = {
  NUMBER (RagifyFilter, struct_size, U32),           NUMBER (RagifyFilter, op, U32),
  INSIDE (RagifyFilter, field, RagifyStr),           INSIDE (RagifyFilter, values, RagifyValueList),
  INSIDE (RagifyFilter, children, RagifyFilterList),
};
STRUCT (RagifyFilter, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyChunk[] = {
  NUMBER (RagifyChunk, struct_size, U32),   NUMBER (RagifyChunk, flags, U32),
  INSIDE (RagifyChunk, id, RagifyUuid),     INSIDE (RagifyChunk, document_id, RagifyStr),
  INSIDE (RagifyChunk, content, RagifyStr), INSIDE (RagifyChunk, title, RagifyStr),
  INSIDE (RagifyChunk, uri, RagifyStr),     INSIDE (RagifyChunk, metadata, RagifyStr),
  NUMBER (RagifyChunk, ordinal, U64),       NUMBER (RagifyChunk, begin, U64),
  NUMBER (RagifyChunk, end, U64),           NUMBER (RagifyChunk, created_at, I64),
  NUMBER (RagifyChunk, updated_at, I64),    NUMBER (RagifyChunk, score, F64),
};
STRUCT (RagifyChunk, RAGIFY_STRUCT_SIZED);

STRIDED_LIST_OF (RagifyChunkList, RagifyChunk);

static const RagifyDescribedMember members_RagifyHit[] = {
  INSIDE (RagifyHit, id, RagifyUuid),
  NUMBER (RagifyHit, score, F32),
  NUMBER (RagifyHit, reserved, U32),
};
STRUCT (RagifyHit, 0);

LIST_OF (RagifyHitList, RagifyHit);

static const RagifyDescribedMember members_RagifyNothing[] = {
  HEAD (RagifyNothing),
};
STRUCT (RagifyNothing, RAGIFY_STRUCT_SIZED);

static const RagifyDescribedMember members_RagifyEmbedderInfo[] = {
  NUMBER (RagifyEmbedderInfo, struct_size, U32),       NUMBER (RagifyEmbedderInfo, dimension, U32),
  NUMBER (RagifyEmbedderInfo, token_limit, U32),       NUMBER (RagifyEmbedderInfo, max_batch, U32),
  INSIDE (RagifyEmbedderInfo, fingerprint, RagifyStr),
};
STRUCT (RagifyEmbedderInfo, RAGIFY_STRUCT_SIZED);

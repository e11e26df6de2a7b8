/* Ragify plugin SDK: everything.
 *
 * SPDX-License-Identifier: MIT
 *
 * Where to read on:
 *   base.h    types, errors, chunks, filters       plugin.h  the entry, components, configuration schema
 *   host.h    what the host does for a plugin      source.h cache.h vector-store.h text-index.h embedder.h reranker.h
 *                                                  extractor.h: one page for each kind
 */
#ifndef RAGIFY_H
#define RAGIFY_H

#include "base.h"
#include "cache.h"
#include "embedder.h"
#include "extractor.h"
#include "host.h"
#include "plugin.h"
#include "reranker.h"
#include "source.h"
#include "text-index.h"
#include "vector-store.h"

#endif

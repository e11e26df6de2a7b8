"""A retriever for LlamaIndex that asks a Ragify host. Needs llama-index-core and nothing else."""

import json
import urllib.request

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode


class RagifyRetriever(BaseRetriever):
    """RagifyRetriever("http://127.0.0.1:8080", max_chunks=5).retrieve("when does the lease end?")"""

    def __init__(self, url="http://127.0.0.1:8080", api_key=None, **request):
        self.url, self.api_key, self.request = url, api_key, request  # request: members of POST /v1/context
        super().__init__()

    def _retrieve(self, query_bundle):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})
        body = json.dumps({**self.request, "query": query_bundle.query_str}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/v1/context", body, headers)) as answer:
            chunks = json.load(answer)["chunks"]
        return [NodeWithScore(score=chunk["relevance_score"], node=TextNode(id_=chunk["id"], text=chunk["content"], metadata={
            **chunk["metadata"], "document_id": chunk["document_id"], "source": chunk["source"]["uri"] or chunk["source"]["name"],
        })) for chunk in chunks]

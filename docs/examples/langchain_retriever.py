"""A retriever for LangChain that asks a Ragify host. Needs langchain-core and nothing else."""

import json
import urllib.request

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever


class RagifyRetriever(BaseRetriever):
    """RagifyRetriever(url="http://127.0.0.1:8080", request={"max_chunks": 5}).invoke("when does the lease end?")"""

    url: str = "http://127.0.0.1:8080"
    api_key: str | None = None
    request: dict = {}  # members of POST /v1/context, such as pipeline, filter, min_relevance

    def _get_relevant_documents(self, query, *, run_manager):
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})
        body = json.dumps({**self.request, "query": query}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/v1/context", body, headers)) as answer:
            chunks = json.load(answer)["chunks"]
        return [Document(page_content=chunk["content"], id=chunk["id"], metadata={
            **chunk["metadata"], "document_id": chunk["document_id"], "source": chunk["source"]["uri"] or chunk["source"]["name"],
            "relevance_score": chunk["relevance_score"]}) for chunk in chunks]

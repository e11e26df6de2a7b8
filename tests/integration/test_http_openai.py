"""What OpenAI's clients find: vector store search."""

import pytest


@pytest.fixture(scope="module")
def library(make_host):
    host = make_host(name="openai", embed=False)
    host.ingest([{"id": f"year-{year}", "title": f"Report of {year}", "content": f"The harbour report of {year}.",
                  "metadata": {"year": year, "lang": "en" if year % 2 else "de"}} for year in range(2015, 2025)])
    return host


def search(host, body, store="default"):
    return host.post(f"/v1/vector_stores/{store}/search", body)


def found(host, body, store="default"):
    answer = search(host, body, store)
    assert answer.status == 200, answer
    return sorted(result["file_id"] for result in answer.json["data"])


def test_a_page_has_the_shape_that_clients_expect(library):
    page = search(library, {"query": "harbour", "max_num_results": 3}).json
    assert page["object"] == "vector_store.search_results.page" and page["search_query"] == ["harbour"]
    assert page["has_more"] is False and page["next_page"] is None and len(page["data"]) == 3
    result = page["data"][0]
    assert set(result) == {"file_id", "filename", "score", "attributes", "content"}
    assert result["content"][0]["type"] == "text" and "harbour" in result["content"][0]["text"]
    assert 0 <= result["score"] <= 1 and result["attributes"]["year"] >= 2015


@pytest.mark.parametrize("filters, years", [
    ({"type": "eq", "key": "year", "value": 2020}, [2020]),
    ({"type": "gte", "key": "year", "value": 2023}, [2023, 2024]),
    ({"type": "in", "key": "year", "value": [2016, 2018]}, [2016, 2018]),
    ({"type": "and", "filters": [{"type": "lt", "key": "year", "value": 2018},
                                 {"type": "eq", "key": "lang", "value": "en"}]}, [2015, 2017]),
    ({"type": "or", "filters": [{"type": "eq", "key": "year", "value": 2015},
                                {"type": "and", "filters": [{"type": "ne", "key": "lang", "value": "en"},
                                                            {"type": "gt", "key": "year", "value": 2022}]}]},
     [2015, 2024]),
])
def test_filters_are_understood(library, filters, years):
    assert found(library, {"query": "harbour", "filters": filters}) == [f"year-{year}" for year in years]


def test_a_store_is_a_pipeline_or_a_place_of_the_default_one(library):
    assert len(found(library, {"query": ["harbour"], "max_num_results": 50}, "docs")) == 10
    absent = search(library, {"query": "harbour"}, "absent")
    assert absent.status == 422 and "absent" in absent.json["detail"]


@pytest.mark.parametrize("body, status, field", [
    ({}, 422, "query"), ({"query": 5}, 422, "query"), ({"query": ["a", "b"]}, 422, "query"), ({"query": ""}, 422, "query"),
    ({"query": "a", "max_num_results": 51}, 422, "max_num_results"),
    ({"query": "a", "max_num_results": 1.5}, 422, "max_num_results"),
    ({"query": "a", "ranking_options": {"score_threshold": 2}}, 422, "ranking_options"),
    ({"query": "a", "filters": {"type": "like", "key": "a", "value": "b"}}, 422, "filters"),
    ({"query": "a", "filters": []}, 422, "filters"), ({"query": "a", "filters": {"type": "and", "filters": []}}, 422, "filters"),
    ({"query": "a", "max_chunks": 5}, 422, "max_chunks"), (b"{", 400, None), (b"[]", 422, None),
])
def test_what_is_wrong_is_named(library, body, status, field):
    answer = search(library, body)
    assert answer.status == status and answer.json.get("field") == field, answer


def test_the_official_client_works(library):
    import openai
    client = openai.OpenAI(base_url=library.address + "/v1", api_key="none", max_retries=0)
    page = client.vector_stores.search("default", query="harbour", max_num_results=2,
                                       filters={"type": "eq", "key": "lang", "value": "de"})
    assert len(page.data) == 2 and all(result.attributes["lang"] == "de" for result in page.data)
    with pytest.raises(openai.UnprocessableEntityError):
        client.vector_stores.search("absent", query="harbour")

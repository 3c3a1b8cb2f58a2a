@testable import bcctl

func row(
  _ resource: String, _ unit: Reply.Unit = .items, held: Int64 = 0, maxheld: Int64 = 0,
  barrier: Int64? = nil,
  limit: Int64? = nil, failcnt: Int64 = 0
) -> Reply.Row {
  Reply.Row(
    resource: resource, unit: unit, held: held, maxheld: maxheld, barrier: barrier, limit: limit,
    failcnt: failcnt,
    status: "exact")
}

func beancounter(_ id: Int, _ name: String, members: Int = 0, _ rows: [Reply.Row])
  -> Reply.Beancounter
{
  Reply.Beancounter(id: id, name: name, members: members, resources: rows)
}

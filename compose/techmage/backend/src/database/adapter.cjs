// Prisma's PostgreSQL adapter with its bugs worked around, so that the whole CLI works on the JavaScript engine.
//
// 1. Catalog columns ("name", "char", oidvector, …) fail with "Column type 'name' could not be deserialized"
//    (prisma/prisma#27403). Their results are relabelled as types that the adapter knows.
// 2. executeScript splits at every ";", which cuts $$ … $$ bodies apart. The script goes to the server as it is,
//    as the native engine does.
// 3. The shadow database is dropped while the adapter's own pool still has sessions in it, which fails after five
//    seconds with "is being accessed by other users". The pool ends first.
// 4. An idle pool keeps its process alive for 10 s after every command; allowExitOnIdle lets it go.
const { PrismaPg } = require("@prisma/adapter-pg");
const { connection } = require("./connection.cjs");

const KNOWN_TYPE = new Map([
  [18, 25], [19, 25], [24, 25], [194, 25], [2205, 25], // "char", name, regproc, pg_node_tree, regclass → text
  [1003, 1009], // name[] → text[]
  [28, 23], // xid → int4
  [22, 1005], // int2vector → int2[]
  [30, 1028], // oidvector → oid[]
]);

function relabel(result) {
  for (const one of [result].flat()) {
    for (const field of one?.fields ?? []) {
      field.dataTypeID = KNOWN_TYPE.get(field.dataTypeID) ?? field.dataTypeID;
    }
  }
  return result;
}

function patchQueries(client) {
  const query = client.query.bind(client);
  client.query = (...args) => {
    const pending = query(...args);
    return typeof pending?.then === "function" ? pending.then(relabel) : pending;
  };
}

function patchAdapter(adapter) {
  patchQueries(adapter.client);
  adapter.executeScript = async (script) => {
    await adapter.client.query(script);
  };
  return adapter;
}

function endBeforeDrop(adapter) {
  const { client } = adapter;
  const end = client.end.bind(client);
  const dropDatabase = adapter.dispose.bind(adapter);
  adapter.dispose = async () => {
    await end();
    client.end = async () => {}; // a pool refuses to end twice
    await dropDatabase();
  };
  return adapter;
}

// The settings are given one by one: with an URL the adapter's shadow database would be the real one.
function adapterFactory() {
  const factory = new PrismaPg({ ...connection(), allowExitOnIdle: true });
  const connect = factory.connect.bind(factory);
  const connectToShadowDb = factory.connectToShadowDb.bind(factory);
  factory.connect = async () => patchAdapter(await connect());
  factory.connectToShadowDb = async () => endBeforeDrop(patchAdapter(await connectToShadowDb()));
  return factory;
}

module.exports = { adapterFactory };

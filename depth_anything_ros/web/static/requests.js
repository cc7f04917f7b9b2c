// What the page asks of its server; errors come as sentences.

async function checked(reply) {
  if (reply.ok) return reply;
  const words = await reply.text();
  throw new Error(words || `the server answers ${reply.status}`);
}

async function ask(path, options = {}) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  return checked(reply);
}

export const about = async () => (await ask("/api/about")).json();

export async function upload(file, name) {
  const reply = await ask(`/api/files?name=${encodeURIComponent(name)}`, { method: "POST", body: file });
  return reply.json();
}

export const forget = (kind, id) =>
  fetch(`/api/${kind}/${id}`, { method: "DELETE", keepalive: true }).catch(() => undefined);

export async function submit(request) {
  return (await ask("/api/jobs", { method: "POST", body: JSON.stringify(request) })).json();
}

export const job = async (id) => (await ask(`/api/jobs/${id}`)).json();

export const resultUrl = (result, picture, name) => `/api/results/${result}/${picture}/${name}`;

export async function layer(result, picture, name) {
  const reply = await ask(resultUrl(result, picture, name));
  return new Float32Array(await reply.arrayBuffer());
}

// Shows one disputed pair after the other; each answer is saved before the next pair is shown.

const at = (id) => document.getElementById(id);
const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
const REACH = 40;  // pixels of the window within which a press means a point
const KEYS = { 1: "one", 2: "two", " ": "unclear", Backspace: "back", Enter: "finish" };
const VERDICTS = { one: "point1", two: "point2", unclear: "unclear" };
const past = [];
let state = null, picture = null, busy = false, ended = false;

const allSettled = () => state !== null && state.open === 0;

function words() {
  if (ended) return "Finished. This window can be closed.";
  if (state === null) return "Loading ...";
  return allSettled() ? "All pairs are settled." : "This image cannot be read; unclear passes it.";
}

function placed([row, column]) {
  const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
  const left = (canvas.width - scale * picture.width) / 2;
  const top = (canvas.height - scale * picture.height) / 2;
  return { scale, left, top, x: left + scale * (column + 0.5), y: top + scale * (row + 0.5) };
}

function draw() {
  canvas.width = canvas.clientWidth;
  canvas.height = canvas.clientHeight;
  if (!picture) {
    pen.fillStyle = "#e8e8e8";
    pen.font = "24px system-ui";
    pen.textAlign = "center";
    pen.fillText(words(), canvas.width / 2, canvas.height / 2);
    return;
  }
  const { scale, left, top } = placed([0, 0]);
  pen.drawImage(picture, left, top, scale * picture.width, scale * picture.height);
  for (const [point, colour] of [[state.point1, "#ff5a4d"], [state.point2, "#4db4ff"]]) {
    const { x, y } = placed(point);
    for (const [width, stroke] of [[5, "#000"], [2.5, colour]]) {
      pen.lineWidth = width;
      pen.strokeStyle = stroke;
      pen.beginPath();
      pen.arc(x, y, 9, 0, 7);
      pen.stroke();
    }
    pen.fillStyle = colour;
    pen.fillRect(x - 1, y - 1, 2, 2);
  }
}

function offer() {
  const open = !ended && !busy && state !== null && state.open > 0;
  at("one").disabled = at("two").disabled = !(open && picture);
  at("unclear").disabled = !open;
  at("back").disabled = ended || busy || !past.length;
  at("finish").hidden = ended || !allSettled();
}

async function show(next) {
  state = next;
  at("count").textContent = `${state.open} of ${state.total} open`;
  at("name").textContent = state.image ?? "";
  picture = null;
  if (state.open) {
    const image = new Image();
    image.src = `/image/${state.id}`;
    picture = await image.decode().then(() => image, () => null);
  }
  draw();
}

async function ask(path, body) {
  const reply = await fetch(path, body && { method: "POST", body: JSON.stringify(body) });
  if (!reply.ok) throw new Error(await reply.text() || reply.statusText);
  return reply.json();
}

async function act(name) {
  if (busy || at(name).disabled || at(name).hidden) return;
  busy = true;
  offer();
  try {
    if (name === "finish") {
      await ask("/finish", {});
      ended = true;
      draw();
    } else if (name === "back") {
      await show(await ask("/answer", { id: past.at(-1), verdict: null }));
      past.pop();
    } else {
      const id = state.id;
      const next = await ask("/answer", { id, verdict: VERDICTS[name] });
      past.push(id);
      await show(next);
    }
  } catch (error) {
    at("name").textContent = `not saved: ${error.message}`;
  }
  busy = false;
  offer();
}

for (const name of Object.values(KEYS)) at(name).addEventListener("click", () => act(name));
addEventListener("keydown", (event) => {
  if (event.repeat || !(event.key in KEYS)) return;
  event.preventDefault();
  act(KEYS[event.key]);
});
canvas.addEventListener("click", (event) => {
  if (!picture) return;
  const distances = [state.point1, state.point2].map((point) => {
    const { x, y } = placed(point);
    return Math.hypot(x - event.offsetX, y - event.offsetY);
  });
  if (Math.min(...distances) <= REACH) act(distances[0] <= distances[1] ? "one" : "two");
});
addEventListener("resize", draw);

draw();
try {
  await show(await ask("/state"));
} catch {
  at("name").textContent = "The server does not answer; is it still running?";
}
offer();

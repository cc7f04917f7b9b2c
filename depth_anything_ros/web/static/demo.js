// The demo page: what was chosen goes to the server, what it makes of it is shown.

import { about, forget, job, layer, resultUrl, submit, upload } from "./requests.js";
import { DepthView, shown } from "./depth_view.js";
import { CloudView } from "./cloud_view.js";

const at = (id) => document.getElementById(id);
const make = (name, attributes) => Object.assign(document.createElement(name), attributes);
const LARGEST_WEBCAM_SIDE = 1280;
const POLL_MS = 250;

const offer = await about().catch((error) => { say(error); throw error; });
const view = new DepthView(at("canvas"), at("legend"), at("ticks"), offer.colors);
const state = {
  source: null,      // {id, name, uploaded} of the picture or video
  points: null,      // id of the points file
  marks: [],         // [column, row, metres]
  result: null,      // what the server made
  number: 0,         // picture of the result that is shown
  running: null,     // id of the job
  pixel: null,       // pixel that waits for its distance
};
let space = null, stream = null;

// ---- what can be chosen

function fillChoices() {
  for (const model of offer.models) {
    at("model").append(make("option", { value: model.name, textContent: model.name }));
  }
  at("model").value = offer.first_model;
  for (const [name, meaning] of Object.entries(offer.scalers)) {
    at("scaler").append(make("option", { value: name, textContent: name, title: meaning }));
  }
  for (const example of offer.examples) {
    const button = make("button", { type: "button", title: `${example.title} (${example.licence})` });
    button.append(make("img", { src: `/api/examples/${example.name}.jpg`, alt: example.title }));
    button.addEventListener("click", () => takeExample(example));
    at("examples").append(button);
  }
  sayModel();
  sayScaler();
}

function sayModel() {
  const model = offer.models.find((each) => each.name === at("model").value);
  const licence = model.licence ? `Licence of the weights: ${model.licence}` : "Licence unknown";
  const limits = model.non_commercial ? ", not for commercial use" : "";
  const note = model.licence_note ? ` (${model.licence_note})` : "";
  const gives = model.gives ? `. Gives ${model.gives}` : "";
  at("licence").textContent = `${licence}${limits}${note}${gives}. ${Math.round(model.size_mb)} MB.`;
}

const sayScaler = () => { at("scaler_meaning").textContent = offer.scalers[at("scaler").value]; };

const isExample = (id) => offer.examples.some((example) => example.name === id);

function choose(source) {
  if (state.source?.uploaded) forget("files", state.source.id);
  if (isExample(state.source?.id)) at("hfov").value = "";  // it was the example's camera
  if (isExample(state.points)) usePoints(null);
  state.source = source;
  state.marks = [];
  showMarks();
  at("chosen").textContent = source.name;
  at("estimate").disabled = false;
}

function takeExample(example) {
  choose({ id: example.name, name: example.title });
  at("hfov").value = example.hfov ?? "";
  at("intrinsics").value = "";
  usePoints(example.points ? example.name : null, "the LiDAR points of the example");
  estimate();
}

async function takeFile(file) {
  if (file.size > offer.upload_bytes) {
    throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB; this server takes ` +
      `${Math.round(offer.upload_bytes / 1e6)} MB`);
  }
  progress("sending the file");
  const stored = await upload(file, file.name);
  choose({ id: stored.id, name: file.name, uploaded: true });
  await estimate();
}

function usePoints(id, words = "") {
  state.points = id;
  at("points_chosen").textContent = id ? `Measured: ${words}.` : "";
  if (!id) at("points").value = "";
}

// ---- the request

const number = (id) => at(id).value === "" ? null : Number(at(id).value);

function request() {
  const intrinsics = at("intrinsics").value.trim();
  return {
    file: state.source.id,
    model: at("model").value,
    scaler: at("scaler").value,
    hfov: number("hfov"),
    intrinsics: intrinsics ? intrinsics.split(/[\s,;]+/).map(Number) : null,
    points_file: state.marks.length ? null : state.points,
    marks: state.marks,
    camera_height: number("camera_height"),
    camera_pitch: number("camera_pitch"),
    confidence: at("confidence").checked,
  };
}

async function estimate() {
  if (!state.source || state.running) return;
  at("error").hidden = true;
  try {
    progress("asking");
    let now = await submit(request());
    state.running = now.id;
    while (now.state === "waiting" || now.state === "running") {
      progress(now.ahead ? `${now.ahead} before you in the queue` : now.stage || "starting",
        now.done, now.total);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (state.running !== now.id) return;
      now = await job(now.id);
    }
    if (now.state === "failed") throw new Error(now.error);
    await showResult(now.result);
  } catch (error) {
    say(error);
  } finally {
    state.running = null;
    at("progress").hidden = true;
  }
}

function cancel() {
  if (state.running) forget("jobs", state.running);
  state.running = null;
  at("progress").hidden = true;
}

function progress(stage, done = 0, total = 0) {
  at("progress").hidden = false;
  at("stage").textContent = stage;
  if (total) Object.assign(at("bar"), { max: total, value: done });
  else at("bar").removeAttribute("value");
}

function say(error) {
  at("error").textContent = error.message;
  at("error").hidden = false;
  at("progress").hidden = true;
}

const guarded = (action) => async (...given) => {
  at("error").hidden = true;
  try { await action(...given); } catch (error) { say(error); }
};

// ---- what was made

async function showResult(result) {
  if (state.result) forget("results", state.result.id);
  state.result = result;
  at("shown").hidden = false;
  at("film").hidden = !result.video;
  at("picture_number").max = result.pictures.length - 1;
  at("video").hidden = !(result.video && result.plays);
  if (result.video && result.plays) at("video").src = `/api/results/${result.id}/video.mp4`;
  at("remarks").replaceChildren(...result.remarks.map((words) => make("li", { textContent: words })));
  await showPicture(0, false);
}

async function showPicture(index, keepView) {
  const { id, pictures } = state.result, picture = pictures[index];
  state.number = index;
  at("picture_number").value = index;
  at("picture_words").textContent = `${index + 1} of ${pictures.length}`;
  const layers = {};
  await Promise.all(picture.layers.map(async (name) => { layers[name] = await layer(id, index, name); }));
  at("image").src = resultUrl(id, index, "view.jpg");
  await at("image").decode();
  const range = keepView ? [view.near, view.far] : null;
  view.show(picture, layers);
  if (range) view.setRange(...range);
  showControls(picture);
  showScale(picture);
  showDownloads();
  await showCloud(picture, keepView);
}

function showControls(picture) {
  at("layer").replaceChildren(...picture.layers.map((name) => make("option", { value: name, textContent: name })));
  at("layer").value = view.layer;
  at("least").hidden = !view.layers.confidence;
  for (const unit of document.querySelectorAll(".unit")) unit.textContent = view.isMetres ? "m" : "";
  showRange();
}

function showRange() {
  at("near").value = shown(view.near);
  at("far").value = shown(view.far);
  at("near_slide").value = view.shareOf(view.near);
  at("far_slide").value = view.shareOf(view.far);
}

function showScale(picture) {
  const { method, quality, reason, inliers, residual } = picture.scale_state;
  const fit = inliers && residual !== null ? `; median error ${(100 * residual).toFixed(1)} %` : "";
  at("scale").textContent = picture.values === "metres"
    ? `Metres by ${method} (${quality}): ${reason}${fit}.`
    : `${picture.values}, no metres: ${reason}.`;
}

function showDownloads() {
  const { id, pictures, video } = state.result;
  const words = {
    "depth.png": view.isMetres ? "16-bit PNG (mm)" : "16-bit PNG",
    "depth.npy": "NPY",
    "cloud.ply": "PLY",
    "preview.png": "preview",
    "description.json": "JSON",
  };
  const links = Object.entries(words)
    .filter(([name]) => name !== "cloud.ply" || pictures[state.number].cloud)
    .map(([name, text]) => make("a", { href: resultUrl(id, state.number, name), textContent: text, download: "" }));
  if (video) links.push(make("a", { href: `/api/results/${id}/video.mp4`, textContent: "video", download: "" }));
  at("downloads").replaceChildren("Download: ", ...links);
}

async function showCloud(picture, keepView) {
  if (!picture.cloud) {
    space?.clear();
    at("cloud_words").textContent = picture.why_no_cloud;
    return;
  }
  try {
    space ??= new CloudView(at("cloud"));
  } catch {
    at("cloud_words").textContent = "This browser has no WebGL; the PLY can be downloaded.";
    return;
  }
  const count = await space.show(resultUrl(state.result.id, state.number, "view.ply"), keepView);
  at("cloud_words").textContent = `${count} points; drag to turn, wheel to come nearer.`;
}

async function play() {
  for (let index = 0; index < state.result.pictures.length; index++) await showPicture(index, index > 0);
}

// ---- points that are marked by hand

function startMark() {
  at("mark_help").hidden = false;
  at("slider").addEventListener("mousedown", takeMark, { capture: true, once: true });
}

function takeMark(event) {
  event.stopImmediatePropagation();
  event.preventDefault();
  state.pixel = view.pixelAt(event.clientX, event.clientY);
  at("mark_help").hidden = true;
  at("mark_distance").hidden = !state.pixel;
  at("mark_metres").focus();
}

function addMark() {
  const metres = number("mark_metres");
  if (!(metres > 0)) throw new Error("give the distance of the point in metres, above 0");
  state.marks.push([state.pixel.u, state.pixel.v, metres]);
  at("mark_distance").hidden = true;
  at("mark_metres").value = "";
  showMarks();
}

function showMarks() {
  at("marks").replaceChildren(...state.marks.map(([u, v, metres], index) => {
    const item = make("li", { textContent: `column ${u}, row ${v}: ${metres} m` });
    const remove = make("button", { type: "button", textContent: "remove" });
    remove.addEventListener("click", () => { state.marks.splice(index, 1); showMarks(); });
    item.append(remove);
    return item;
  }));
}

// ---- the webcam

async function startWebcam() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    throw new Error(navigator.mediaDevices
      ? `no picture from a webcam: ${error.message}`
      : "browsers give the webcam only to pages of this machine (localhost) or over https");
  }
  at("webcam_video").srcObject = stream;
  at("webcam_panel").hidden = false;
}

async function takeWebcam() {
  do {
    const video = at("webcam_video"), canvas = make("canvas", {});
    const scale = Math.min(1, LARGEST_WEBCAM_SIDE / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
    const stored = await upload(picture, "webcam.jpg");
    choose({ id: stored.id, name: "webcam", uploaded: true });
    await estimate();
  } while (at("webcam_live").checked && stream && at("error").hidden);
}

function stopWebcam() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  at("webcam_panel").hidden = true;
}

// ---- events

const on = (id, event, action) => at(id).addEventListener(event, action);

on("file", "change", guarded(async () => { if (at("file").files[0]) await takeFile(at("file").files[0]); }));
on("drop", "keydown", (event) => { if (["Enter", " "].includes(event.key)) at("file").click(); });
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
  });
}
document.addEventListener("drop", guarded(async (event) => {
  const [file] = event.dataTransfer.files;
  if (file) await takeFile(file);
}));
on("points", "change", guarded(async () => {
  const [file] = at("points").files;
  usePoints(file ? (await upload(file, file.name)).id : null, file?.name);
}));
on("model", "change", sayModel);
on("scaler", "change", sayScaler);
on("settings", "submit", (event) => { event.preventDefault(); estimate(); });
on("cancel", "click", cancel);
on("layer", "change", () => { view.layer = at("layer").value; view.paint(); });
on("least_confidence", "input", () => { view.leastConfidence = Number(at("least_confidence").value); view.paint(); });
for (const id of ["near", "far"]) {
  on(id, "change", () => { view.setRange(number("near") ?? view.near, number("far") ?? view.far); showRange(); });
  on(`${id}_slide`, "input", () => {
    view.setRange(view.valueAt(Number(at("near_slide").value)), view.valueAt(Number(at("far_slide").value)));
    at("near").value = shown(view.near);
    at("far").value = shown(view.far);
  });
}
on("reset", "click", () => { view.reset(); showRange(); });
for (const event of ["pointermove", "pointerdown"]) {
  on("slider", event, ({ clientX, clientY }) => {
    const pixel = view.picture && view.pixelAt(clientX, clientY);
    if (pixel) at("readout").textContent = view.words(pixel);
  });
}
on("picture_number", "input", guarded(() => showPicture(Number(at("picture_number").value), true)));
on("play", "click", guarded(play));
on("mark", "click", startMark);
on("mark_add", "click", guarded(addMark));
on("webcam", "click", guarded(startWebcam));
on("webcam_take", "click", guarded(takeWebcam));
on("webcam_stop", "click", stopWebcam);
addEventListener("pagehide", () => {
  if (state.running) forget("jobs", state.running);
  if (state.result) forget("results", state.result.id);
  if (state.source?.uploaded) forget("files", state.source.id);
});

fillChoices();
document.body.dataset.ready = "true";

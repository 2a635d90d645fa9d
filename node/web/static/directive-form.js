import { send } from "./api.js";
import { mintId } from "./ids.js";
import { busy, check, showWrong } from "./forms.js";
import { t } from "./texts.js";

/** Sends a directive when its form is submitted. */
export function bindDirectiveForm(form, onDone) {
  const [id, key] = [mintId(), mintId()];
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!check(form)) return;
    const offices = [...form.querySelectorAll('[name="to_codes"]:checked')].map((e) => e.value);
    if (!offices.length) {
      showWrong(form, [[form.querySelector('[name="to_codes"]'), t("Chọn ít nhất một nơi nhận.")]], []);
      return;
    }
    busy(form, async () => {
      const body = {
        id,
        to_codes: offices,
        title: form.title.value,
        body: form.body.value,
        letter_number: form.letter_number.value,
        due_on: form.due_on.value,
      };
      if (form.dataset.case) body.case_id = form.dataset.case;
      await send("POST", "/directives", body, key);
      await onDone();
    });
  });
}
